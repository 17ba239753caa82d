# The image, for one architecture or for several:
#   docker build -t label-router:0.1.0 .
#   docker buildx build --platform linux/amd64,linux/arm64 --push -t registry.example.com/label-router:0.1.0 .
# Both bases exist for both architectures. The compiler runs on the builder's own and compiles for the image's, so that no
# emulation is needed. Two at once take a builder that can: docker buildx create --use
#
# BuildKit says what BUILDPLATFORM is. Others have to be told, such as podman or buildah of Debian 12:
#   podman build --build-arg BUILDPLATFORM=linux/amd64 -t label-router:0.1.0 .
#
# The bases are named by version. To pin the very bits, put what this prints behind each name, as name:tag@sha256:…
#   docker buildx imagetools inspect rust:1.95.0-bookworm --format '{{.Manifest.Digest}}'
# Distroless has no tags of versions: its tag is the Debian release, and only a digest pins more than that.
# The compiler is that of rust-toolchain.toml. The C library of both stages must be of one Debian release.
FROM --platform=$BUILDPLATFORM rust:1.95.0-bookworm AS build
# Set by the builder
ARG TARGETARCH
WORKDIR /build

# Linker, C library and standard library of the image's architecture, where the builder's is another one.
RUN case "${TARGETARCH:=$(dpkg --print-architecture)}" in \
        amd64) cpu=x86_64 ;; \
        arm64) cpu=aarch64 ;; \
        *) echo "there are images for amd64 and arm64, not for $TARGETARCH" >&2; exit 1 ;; \
    esac \
    && target="$cpu-unknown-linux-gnu" linker="$cpu-linux-gnu-gcc" \
    && if ! command -v "$linker"; then \
        apt-get update \
        && apt-get install --yes --no-install-recommends \
            "gcc-$(echo "$cpu" | tr _ -)-linux-gnu" "libc6-dev-$TARGETARCH-cross" \
        && rm -rf /var/lib/apt/lists/*; \
    fi \
    && if [ ! -d "$(rustc --print sysroot)/lib/rustlib/$target" ]; then rustup target add "$target"; fi \
    && mkdir .cargo \
    && printf '[build]\ntarget = "%s"\n[target.%s]\nlinker = "%s"\n' "$target" "$target" "$linker" > .cargo/config.toml

# The dependencies are a layer of their own, which stays until one of these files changes. Tests and benchmarks, whose files
# Cargo would look for, are taken out of the manifest.
COPY Cargo.toml Cargo.lock ./
RUN sed -i '/^\[\[\(bench\|test\)\]\]/,/^$/d' Cargo.toml \
    && mkdir src \
    && touch src/lib.rs \
    && echo 'fn main() {}' > src/main.rs \
    && cargo build --release --locked

COPY src src
# The command `manifests` carries them.
COPY deploy/install.yaml deploy/
COPY deploy/components/events/rbac.yaml deploy/components/events/
# Cargo compares times, and COPY keeps those of the checkout.
RUN touch src/lib.rs src/main.rs \
    && cargo build --release --locked \
    && cp target/*/release/label-router .

# A C library, the CA certificates that sinks are called with, and nothing else: no shell, no package manager, an unprivileged
# user. The platform is the default, which older buildahs forget after a stage of another one.
FROM --platform=$TARGETPLATFORM gcr.io/distroless/cc-debian12:nonroot
ARG VERSION=0.1.0
# The commit, from who builds: --build-arg REVISION="$(git rev-parse HEAD)"
ARG REVISION=
LABEL org.opencontainers.image.title="label-router" \
      org.opencontainers.image.description="Gives each replica of a workload its own placement, from one YAML file" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="$VERSION" \
      org.opencontainers.image.revision="$REVISION" \
      org.opencontainers.image.base.name="gcr.io/distroless/cc-debian12:nonroot"
COPY --from=build /build/label-router /usr/local/bin/label-router
COPY LICENSE /usr/share/doc/label-router/
# In numbers: the kubelet cannot tell by a name that it is not root.
USER 65532:65532
# AdmissionReviews; health, metrics and configuration
EXPOSE 8443 8080
ENTRYPOINT ["/usr/local/bin/label-router"]
