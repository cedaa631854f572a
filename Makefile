# The two commands of the README are `make demo` and `make test`; everything they need they set up themselves.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.PHONY: help demo down test check lint lab-test fault-test vllm-test test-vm bench net-bench gateway-bench lock setup

PYTHON ?= python3
export PYTHON
RUN := .venv/bin/

# Debian packages, by what needs them.
BASE_PACKAGES := python3 python3-venv ca-certificates
LAB_PACKAGES := mmdebstrap systemd-container dbus iproute2 nftables docker-registry openssh-client openssl procps zstd
VM_PACKAGES := qemu-system-x86 e2fsprogs
TEST_PACKAGES := $(LAB_PACKAGES) conntrack dnsmasq-base gcc git gpg gpg-agent haproxy libc6-dev nebula openssh-server espeak-ng vagrant vagrant-libvirt wireguard-go wireguard-tools

help: ## show this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1|/' | column -t -s '|'

demo: ## set up, bring up the lab, apply it, and let the model answer
	.ci/setup $(BASE_PACKAGES) $(LAB_PACKAGES)
	$(RUN)stackctl lab up lab
	$(RUN)stackctl apply lab --yes
	$(RUN)stackctl ask lab chat "Hello, who are you?"

down: ## remove the lab, leaving nothing but its cache
	$(RUN)stackctl lab down lab

test: ## set up and run everything that proves a change: lint, types, layers, tests, lab tests
	.ci/setup $(BASE_PACKAGES) $(TEST_PACKAGES)
	$(MAKE) --no-print-directory lint
	$(RUN)pytest -n 2 -m "not lab and not vllm and not vm"
	$(RUN)pytest -n 2 --dist loadfile -m "lab and not vllm and not fault"

check: lint ## lint and the everyday tests, without the lab
	$(RUN)pytest -n 2 -m "not lab and not vllm and not vm"

lint: ## style, types and import layers
	$(RUN)ruff check .
	$(RUN)ruff format --check .
	$(RUN)mypy
	$(RUN)lint-imports

lab-test: ## the tests on virtual hosts
	$(RUN)pytest -n 2 --dist loadfile -m "lab and not vllm and not fault"

fault-test: ## an apply struck at every one of its exchanges with a host, in every way: about 50 minutes
	.ci/setup $(BASE_PACKAGES) $(TEST_PACKAGES)
	$(RUN)pytest -m fault

vllm-test: ## the tests with a real vLLM on the CPU: about 20 minutes and 20 GB the first time
	.ci/setup $(BASE_PACKAGES) $(TEST_PACKAGES)
	$(RUN)pytest -m vllm

test-vm: ## the tests on virtual machines, with kernels and reboots of their own: ten minutes, and up to two hours more for the driver without KVM
	.ci/setup $(BASE_PACKAGES) $(TEST_PACKAGES) $(VM_PACKAGES)
	$(RUN)pytest -m vm

bench: ## measure beside pyinfra and Ansible, on a quiet machine: BENCH="--hosts 1" for less of it
	.ci/setup $(BASE_PACKAGES) $(LAB_PACKAGES) gcc libc6-dev
	$(RUN)python -m tests.bench $(BENCH)

net-bench: ## measure uplinks beside keepalived, foolsm and metric routes, and the mesh as it grows: about 30 minutes, on a quiet machine
	.ci/setup $(BASE_PACKAGES) $(TEST_PACKAGES) keepalived fping $$(apt-cache show foolsm >/dev/null 2>&1 && echo foolsm || echo lsm)
	$(RUN)python -m tests.bench.wan
	$(RUN)python -m tests.bench.mesh

gateway-bench: ## measure the gateway beside none and LiteLLM's, on a quiet machine: GATEWAY_BENCH="--rounds 1" for less of it
	.ci/setup $(BASE_PACKAGES) haproxy wrk
	$(RUN)python -m tests.bench.gateway $(GATEWAY_BENCH)

setup: ## only set up
	.ci/setup $(BASE_PACKAGES) $(TEST_PACKAGES)

lock: ## write requirements.lock anew from pyproject.toml
	uv pip compile --no-config -q pyproject.toml --group dev --universal --python-version 3.11 --generate-hashes \
	  --no-emit-index-url --no-header --no-annotate -o requirements.lock
