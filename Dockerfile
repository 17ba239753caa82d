# syntax=docker/dockerfile:1
FROM rust:1.95-bookworm AS build
WORKDIR /build

# The dependencies are a layer of their own: it stays until one of these files changes.
COPY Cargo.toml Cargo.lock ./
RUN mkdir src \
    && touch src/lib.rs \
    && echo 'fn main() {}' > src/main.rs \
    && cargo build --release --locked \
    && rm -r src

COPY . .
# Cargo compares times, and COPY keeps those of the checkout.
RUN touch src/lib.rs src/main.rs && cargo build --release --locked

# A C library and nothing else: no shell, no package manager, an unprivileged user.
FROM gcr.io/distroless/cc-debian12:nonroot
LABEL org.opencontainers.image.title="label-router" \
      org.opencontainers.image.description="Gives each replica of a workload its own placement, from one YAML file" \
      org.opencontainers.image.licenses="Apache-2.0"
COPY --from=build /build/target/release/label-router /usr/local/bin/label-router
COPY --from=build /build/LICENSE /usr/share/doc/label-router/LICENSE
USER nonroot
# AdmissionReviews; health, metrics and configuration
EXPOSE 8443 8080
ENTRYPOINT ["/usr/local/bin/label-router"]
