# The tasks of this repository; CI runs the same ones. `just` lists them.

set shell := ["bash", "-euo", "pipefail", "-c"]

# list the tasks
default:
    @just --list --unsorted

# build for development
build:
    cargo build

# serve the embedded policy on this machine, as the README says
run:
    cargo run --release

# run the tests
test:
    cargo test

# run the tests on a real control plane, which Go builds first (ten minutes, once)
cluster-test *arguments:
    tests/deploy/tools
    cargo test --test cluster -- --include-ignored {{arguments}}

# format the code
fmt:
    cargo fmt

# check format and lints
lint:
    cargo fmt --check
    cargo clippy --all-targets -- -D warnings

# check that the core needs no server
core:
    cargo check --no-default-features --lib

# check that the core builds for the web
wasm:
    cargo check --no-default-features --lib --target wasm32-unknown-unknown

# check licences, banned crates and sources of the dependencies
deny:
    cargo deny check bans licenses sources

# build the documentation, without a warning
doc:
    RUSTDOCFLAGS="-D warnings" cargo doc --no-deps

# check the alerts by promtool, on what they should and should not fire
monitoring-test:
    tests/deploy/tools
    PATH="${XDG_CACHE_HOME:-$HOME/.cache}/label-router/tools/bin:$PATH" cargo test --test monitoring -- --include-ignored

# write the copies of deploy/monitoring anew: the PrometheusRule, and what the chart holds
monitoring:
    UPDATE_MONITORING=1 cargo test --quiet --test monitoring copies

# render every overlay and the chart by their own tools, and check what comes of them
deploy-test:
    tests/deploy/tools
    PATH="${XDG_CACHE_HOME:-$HOME/.cache}/label-router/tools/bin:$PATH" cargo test --test deploy -- --include-ignored

# write deploy/install.yaml anew: the overlay self-managed as one file
install-yaml:
    tests/deploy/tools
    sed -n '/^#/!q;p' deploy/install.yaml > deploy/install.yaml.new
    tests/deploy/render overlays/self-managed >> deploy/install.yaml.new
    mv deploy/install.yaml.new deploy/install.yaml

# build the image for amd64 and arm64 by buildah, without a daemon or a registry, and start both
image-test:
    tests/image/build

# write the JSON Schema that editors read anew
schema:
    UPDATE_SCHEMAS=1 cargo test --quiet --test schema

# run the benchmarks
bench:
    cargo bench

# measure Pods per second on a real API server (five minutes after the build, with nothing else running)
bench-cluster *arguments:
    cargo bench --bench cluster -- {{arguments}}

# try bench-cluster with a few Pods
bench-cluster-smoke:
    cargo bench --profile dev --bench cluster -- --smoke

# build the benchmarks, without the optimizations that take minutes
bench-build:
    cargo bench --no-run --profile dev

# start the server by the README's command, try it, stop it
quickstart:
    .ci/quickstart

# all that CI runs, in its order
ci:
    #!/usr/bin/env bash
    set -euo pipefail
    for task in quickstart test deploy-test monitoring-test lint core wasm deny doc bench-build cluster-test bench-cluster-smoke; do
        SECONDS=0
        echo "just $task"
        just "$task"
        echo "just $task: done in $SECONDS s"
    done

# what takes long, or needs more of the network than CI may have
nightly: ci
    # The advisories are a git repository on a public host, which not every network reaches.
    cargo deny check advisories
    cargo test --release --test reload --test delivery --test notices -- --include-ignored --test-threads=1 --nocapture
    cargo bench
    # Two release builds for each of two architectures, and bases put together from Debian's packages.
    tests/image/build
