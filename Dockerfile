FROM rust:1.95-bookworm AS build
WORKDIR /build

# The dependencies are a layer of their own, which stays until one of these files changes. Cargo wants every file that the
# manifest names to be there.
COPY Cargo.toml Cargo.lock ./
RUN mkdir src benches tests \
    && sed -n -e '/^\[\[bench\]\]/,/^name/ s/^name = "\(.*\)"/benches\/\1.rs/p' \
              -e '/^\[\[test\]\]/,/^name/ s/^name = "\(.*\)"/tests\/\1.rs/p' Cargo.toml | xargs -r touch \
    && touch src/lib.rs \
    && echo 'fn main() {}' > src/main.rs \
    && cargo build --release --locked

COPY src src
# Cargo compares times, and COPY keeps those of the checkout.
RUN touch src/lib.rs src/main.rs && cargo build --release --locked

# A C library and nothing else: no shell, no package manager, an unprivileged user.
FROM gcr.io/distroless/cc-debian12:nonroot
LABEL org.opencontainers.image.title="label-router" \
      org.opencontainers.image.description="Gives each replica of a workload its own placement, from one YAML file" \
      org.opencontainers.image.licenses="Apache-2.0"
COPY --from=build /build/target/release/label-router /usr/local/bin/label-router
COPY LICENSE /usr/share/doc/label-router/
USER 65532:65532
# AdmissionReviews; health, metrics and configuration
EXPOSE 8443 8080
ENTRYPOINT ["/usr/local/bin/label-router"]
