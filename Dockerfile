# Two images: "ferry" with the programs (docker build --target ferry .), and "target", an OpenSSH server to try it with.

FROM swift:6.3-bookworm AS builder
RUN apt-get update -qq \
    && DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends \
        libhiredis-dev librabbitmq-dev libssh2-1-dev libssl-dev pkg-config zlib1g-dev \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /source
# Dependencies first: they change less often than the sources.
COPY Package.swift ./
RUN swift package resolve
COPY Sources Sources
COPY Tests Tests
COPY Benchmarks Benchmarks
RUN swift build -c release --static-swift-stdlib --product ferry-api \
    && swift build -c release --static-swift-stdlib --product ferry-worker \
    && swift build -c release --static-swift-stdlib --product ferry \
    && mkdir /programs \
    && cd "$(swift build -c release --static-swift-stdlib --show-bin-path)" \
    && cp ferry ferry-api ferry-worker /programs/

FROM debian:bookworm-slim AS target
RUN apt-get update -qq \
    && DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends openssh-server netcat-openbsd \
    && rm -rf /var/lib/apt/lists/* /etc/ssh/ssh_host_* \
    && mkdir -p /run/sshd \
    && useradd --create-home --uid 10002 --shell /bin/sh deploy \
    && usermod --password '*' deploy \
    && install -d -o deploy -g deploy /srv/incoming
COPY deploy/compose/sshd_config /etc/ssh/sshd_config
COPY --chmod=0755 deploy/compose/target-entrypoint /usr/local/bin/target-entrypoint
EXPOSE 22
HEALTHCHECK --interval=10s --timeout=3s CMD nc -z 127.0.0.1 22
ENTRYPOINT ["/usr/local/bin/target-entrypoint"]
CMD ["/usr/sbin/sshd", "-D", "-e"]

FROM debian:bookworm-slim AS ferry
RUN apt-get update -qq \
    && DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends \
        ca-certificates curl libhiredis0.14 librabbitmq4 libssh2-1 libssl3 openssh-client zlib1g \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --system --no-create-home --uid 10001 ferry \
    && install -d -o ferry -g ferry /var/lib/ferry /var/lib/ferry/staging
COPY --from=builder /programs/ /usr/local/bin/
USER ferry
ENV FERRY_CONFIG=/etc/ferry/ferry.yaml
EXPOSE 8080
HEALTHCHECK --interval=10s --timeout=3s --start-period=10s CMD curl -fsS http://127.0.0.1:8080/healthz
CMD ["ferry-api", "--config", "/etc/ferry/ferry.yaml"]
