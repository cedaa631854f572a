# One container of a Compose project, seen as a replica that others send requests to. Steps of `replica.py` and
# `answering.py` begin with this and say what they are about in variables before it:
#   project, file       the project, and its compose file as it is wanted
#   service, id         the replica's service, and its container where there is one
#   url                 answers 2xx while it works
#   ports               where it listens inside its network namespace, as a filter of ss
#   start, stop         seconds that it may take to answer, and to finish what it has begun
#   drained             seconds after which a drain ends that nobody has ended
#   drains, kept        folders of drains, and of what was last brought up well
#   settings            files with its variables
#   warm_url, warm_body a request that it is given before all others
#   arithmetic          what of its device's memory it needs for what
#   told                exit status that says: the cause is known, and comes first on standard error

now() { cut -d. -f1 /proc/uptime; }
attended() { kill -0 "${STACKCTL_SESSION:-1}" 2>/dev/null; }
answers() { curl -fsS -m 5 -o /dev/null -- "$url" 2>/dev/null; }
found() { id=$(docker compose -p "$project" ps -aq -- "$service" 2>/dev/null | head -n 1) && [ -n "$id" ]; }
logs() { docker logs --tail 500 "$id" 2>&1; }

tell() {
  printf '%s\n' "$@" >&2
  exit "$told"
}

# Twice as long as gateways take between two questions, and then some: from here on none sends new requests.
notice=2
# A gateway looks at a replica that is down once a second, and wants to see it well twice.
settle=5

begin_drain() {
  mkdir -p -m 755 -- "$drains" && staged=$(mktemp -- "$drains/.XXXXXXXXXX") &&
    echo $(($(now) + drained)) >"$staged" && chmod 644 -- "$staged" && mv -fT -- "$staged" "$drains/$service"
}

end_drain() { rm -f -- "$drains/$service"; }

# A connection is idle where the server had the last word, long ago: others than gateways keep them for ever. A stream
# between two pieces looks the same, but model servers send comments every 15 s.
busy() {
  [ -n "$ports" ] && pid=$(docker inspect -f '{{.State.Pid}}' "$id" 2>/dev/null) && [ "${pid:-0}" -gt 0 ] || return 1
  connections=$(nsenter -t "$pid" -n ss -Htni state established "( $ports )") || return 0
  printf '%s\n' "$connections" | awk '
    /^[^ \t]/ { open++ }
    /^[ \t]/ {
      sent = received = 0
      for (i = 1; i <= NF; i++) {
        if ($i ~ /^lastsnd:/) sent = substr($i, 9) + 0
        if ($i ~ /^lastrcv:/) received = substr($i, 9) + 0
      }
      if (sent <= received && sent >= 30000) idle++
    }
    END { exit open > idle ? 0 : 1 }'
}

# Nothing has been changed yet where nobody waits for the end of it any more.
drain() {
  begin_drain
  sleep "$notice"
  end=$(($(now) + stop))
  while busy && [ "$(now)" -lt "$end" ]; do
    attended || { end_drain; tell "nobody waits for $service any more"; }
    sleep 0.3
  done
}

# A run that was cut off may still be at it on the host: two at once end in a conflict over names.
bring() {
  said=$(flock -w 450 "/run/stackctl-$project.lock" docker compose -p "$project" --project-directory "${file%/*}" \
    -f "$1" --progress plain up -d --no-deps --no-build --pull never --quiet-pull -- "$service" 2>&1) || {
    why="$service cannot be brought up" detail=$said
    return 1
  }
}

# Three restarts are a crash loop: waiting longer would only hide it; restarts of long ago are none. The time is
# the kernel's since boot: a wall clock may jump, and a look at a server that hangs takes seconds by itself, so
# that counting looks would run into the step's own limit and show no log.
comes_up() {
  end=$(($(now) + start)) before= looks=0 killed=
  while :; do
    answers && { measured; return 0; }
    looks=$((looks + 1))
    found || { why="there is no container of $service" detail=; return 1; }
    set -- $(docker inspect -f '{{.RestartCount}} {{.State.Status}} {{.State.OOMKilled}}' "$id" 2>/dev/null)
    restarts=${1:-0} status=${2:-gone}
    [ "${3:-false}" = false ] || killed=yes
    [ "$((restarts - ${before:=$restarts}))" -lt 3 ] || break
    [ "$restarts" -lt 3 ] || [ "$status" != restarting ] || break
    [ "$(now)" -lt "$end" ] || break
    attended || { end_drain; tell "nobody waits for $service any more"; }
    sleep 1
  done
  why="$service is $status, restarted $restarts times$(memory)" detail=$(last_words)
  return 1
}

# What ran out is told by the kernel, for the host's own memory, or by the engine, for its device's.
memory() {
  if [ -n "$killed" ]; then
    echo ": the host's memory ran out"
  elif logs | grep -qaE "$out_of_memory"; then
    echo ": its device's memory does not suffice"
  fi
}

out_of_memory='CUDA out of memory|OutOfMemoryError|CUDA error: out of memory|No available memory for the cache blocks'
out_of_memory="$out_of_memory|less than desired GPU memory utilization|larger than the available KV cache memory"

# A server's first error is often hundreds of lines above its last: errors are shown before the last lines.
last_words() {
  logs | grep -aE '(Error|Exception|panic|fatal): ' | awk '!seen[$0]++' | tail -n 5
  logs | tail -n 15
  [ -z "$arithmetic" ] || [ -z "$(memory)" ] || printf '%s\n' "$arithmetic"
}

# How long it took from its start to its first answer, where that was seen.
measured() {
  [ "$looks" -gt 0 ] && began=$(docker inspect -f '{{.State.StartedAt}}' "$id" 2>/dev/null) && [ -n "$began" ] &&
    began=$(date -d "$began" +%s 2>/dev/null) && keep_text "$project.$service.seconds" $(($(date +%s) - began))
  return 0
}

# Health is of the process; the first request is of the model. A refusal (4xx) is not the replica's fault.
warms_up() {
  [ -n "$warm_url" ] || return 0
  status=$(curl -sS -m 120 -o /dev/null -w '%{http_code}' -H 'Content-Type: application/json' -d "$warm_body" \
    -- "$warm_url" 2>/dev/null)
  case $status in
    [1-4][0-9][0-9]) ;;
    000) why="$service answers health checks, and not its first request" detail=$(last_words); return 1 ;;
    *) why="$service answers health checks, and its first request with status $status" detail=$(last_words); return 1 ;;
  esac
}

# What is kept only serves to go back and to give reasons: a full disk is none to fail.
keep_text() {
  mkdir -p -- "$kept" && chmod 700 -- "$kept" && staged=$(mktemp -- "$kept/.XXXXXXXXXX") &&
    printf '%s\n' "$2" >"$staged" && mv -fT -- "$staged" "$kept/$1"
}

copied() {
  staged=$(mktemp -- "${2%/*}/.XXXXXXXXXX") && cat -- "$1" >"$staged" && chmod 600 -- "$staged" &&
    mv -fT -- "$staged" "$2"
}

keep() {
  mkdir -p -- "$kept" && chmod 700 -- "$kept" || return 0
  copied "$file" "$kept/$project.$service.compose.yaml"
  for path in $settings; do
    if [ -f "$path" ]; then copied "$path" "$kept/$project.${path##*/}"; else rm -f -- "$kept/$project.${path##*/}"; fi
  done
  return 0
}

# What it was last brought up from, with the variables of then.
former() {
  for path in "$kept/$project.$service.compose.yaml" "$kept/$project.compose.yaml"; do
    [ ! -f "$path" ] || { was=$path; break; }
  done
  [ -n "$was" ] || return 1
  for path in $settings; do
    [ ! -f "$kept/$project.${path##*/}" ] || copied "$kept/$project.${path##*/}" "$path"
  done
}

# Exits: whatever comes of it, the replica has not become what was wanted.
go_back() {
  failed=$why lines=$detail
  if [ -z "$worked" ]; then
    end_drain
    tell "$failed" "$lines"
  fi
  was= why="it is not known how that was" detail=
  if former && bring "$was" && comes_up; then
    end_drain
    tell "$failed; $service runs as it did before again" "$lines"
  fi
  end_drain
  tell "$failed; nor did $service come back as it was before: $why" "$lines" "$detail"
}

replace() {
  worked=
  if found && answers; then
    worked=yes
    drain
  else
    begin_drain
  fi
  bring "$file" && comes_up && warms_up || go_back
  keep
  end_drain
  sleep "$settle"
}

remove() {
  drain
  docker stop -- "$id" >/dev/null && docker rm -f -- "$id" >/dev/null || exit
  end_drain
}
