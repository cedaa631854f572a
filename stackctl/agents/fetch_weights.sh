# Fetches one directory of weights: sh fetch-weights MANIFEST DIRECTORY REPORT
#
# The directory appears whole or not at all. Until then its files are below `.partial` on the same disk: `files` has
# those whose hash was right, `incoming` what has come of the others, by hash, to be gone on with by whoever comes next.
# Why it failed is told on standard error, and in REPORT for who waits elsewhere.
set -u
umask 022
export LC_ALL=C
manifest=$1 target=$2 report=$3
hub=${target%/*/*/*}
place=$hub/.partial/${target#"$hub"/}
newline='
'

fail() {
  printf '%s\n' "$1" >&2
  mkdir -p -- "${report%/*}" && printf '%s\n' "$1" >"$report"
  exit 1
}

# What has come is kept.
unwritable() {
  room=$(df -B1 --output=avail -- "$hub" | tail -n 1)
  [ "$room" -gt 1000000 ] || fail "No space left on device: $hub is full"
  fail "$hub cannot be written to: $1"
}

of_target() { awk -v target="$target" -v want="$1" '$1 == "weights" { ours = $2 == target }
  ours && $1 == want { sub(/^[^ ]* /, ""); print }' "$manifest"; }

bytes() { if [ -f "$1" ]; then stat -c %s -- "$1"; else echo 0; fi; }

hash() { sha256sum <"$1" | cut -d ' ' -f 1; }

# One request after the other for as long as each brings more. What went wrong is in $why. The limit of a file's size
# is for a server that sends without end; curl's own looks at pages about errors too.
download() { # URL SETTINGS SIZE INTO
  while :; do
    have=$(bytes "$4")
    [ "$have" -lt "$3" ] || return 0
    # A header in SETTINGS goes to the URL's own host: curl leaves it out when it is sent on to another.
    said=$(
      ulimit -f $(($3 / 512 + 1))
      curl -q --silent --show-error --fail --location --proto =http,https --proto-redir =http,https \
        --max-redirs 5 --connect-timeout 10 --speed-limit 51200 --speed-time 60 \
        ${2:+--config "$2"} --continue-at "$have" --output "$4" --url "$1" 2>&1 </dev/null
    )
    status=$?
    now=$(bytes "$4")
    case $status in
      0)
        [ "$now" -ne "$3" ] || return 0
        why="has $now bytes, and $3 are locked"
        rm -f -- "$4"
        return 1
        ;;
      23) unwritable "${said#curl: (*) }" ;;
      33) rm -f -- "$4" ;; # it knows no ranges: all of it again
      153)
        why="has more than the $3 bytes that are locked"
        rm -f -- "$4"
        return 1
        ;;
      *)
        why=${said#curl: (*) }
        [ "$now" -gt "$have" ] && [ "$status" != 28 ] || return 1
        sleep 1
        ;;
    esac
  done
}

# What cannot be copied is no reason to stop: the share of one host is not on another.
copy() { # FROM SIZE INTO
  if [ ! -f "$1" ]; then
    why="is not there"
    return 1
  elif [ "$(bytes "$1")" != "$2" ]; then
    why="has $(bytes "$1") bytes, and $2 are locked"
    return 1
  elif ! why=$(cp -L --reflink=auto --no-preserve=all -- "$1" "$3" 2>&1); then
    case $why in *'No space left'*) unwritable "$why" ;; esac
    return 1
  fi
}

# A file whose hash is wrong is deleted; one that was gone on with may have begun elsewhere, and has another chance.
take() { # SOURCE BASE SETTINGS SIZE HASH PATH
  into=$place/incoming/$5
  while :; do
    began=$(bytes "$into")
    [ "$4" -gt 0 ] || : >"$into"
    case $2 in
      /*) copy "$2/$6" "$4" "$into" || return 1 ;;
      *) download "$2/$6" "$3" "$4" "$into" || return 1 ;;
    esac
    found=$(hash "$into")
    [ "$found" != "$5" ] || break
    rm -f -- "$into"
    why="has the sha256 $found, and $5 is locked"
    [ "$began" -gt 0 ] || return 1
  done
  mkdir -p -- "$(dirname -- "$place/files/$6")" && sync -- "$into" && mv -fT -- "$into" "$place/files/$6"
}

# Sources are asked anew as long as that brings more, and a few times more.
obtain() { # SIZE HASH PATH
  told= idle=0
  while [ "$idle" -lt 3 ]; do
    before=$(bytes "$place/incoming/$2")
    while read -r source base settings; do
      why=
      take "$source" "$base" "$settings" "$1" "$2" "$3" && return 0
      told="$told$newline$3 of $source: ${why:-cannot be written}"
    done <<EOF
$sources
EOF
    idle=$((idle + 1))
    [ "$(bytes "$place/incoming/$2")" -le "$before" ] || idle=0
    [ "$idle" -eq 3 ] || sleep "$((2 * idle + 1))"
  done
  fail "$3 cannot be had$(printf '%s\n' "$told" | awk '!seen[$0]++')"
}

mkdir -p -- "$place/incoming" "$place/files" || unwritable "a directory cannot be made"
exec 8>"$place.lock"
flock 8
[ ! -d "$target" ] || exit 0
mkdir -p -- "$place/incoming" "$place/files"
rm -f -- "$report"
sources=$(of_target from)
files=$(of_target file)
[ -n "$files" ] || fail "$manifest does not have $target"
while read -r size sha path; do
  [ -f "$place/files/$path" ] || obtain "$size" "$sha" "$path"
done <<EOF
$files
EOF
find "$place/files" -depth -type d -exec sync -- {} +
mkdir -p -- "${target%/*}" && mv -T -- "$place/files" "$target" && sync -- "${target%/*}" ||
  fail "$target cannot be put in place"
rm -rf -- "$place" "$place.lock"
