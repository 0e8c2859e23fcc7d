# The agent's image, in two sizes: `docker build --target minimal .` is the agent and nothing else,
# `--target full` (the default) has a shell and the programs that NPD's script plugins call.
# Both have the layout of NPD's image.

FROM rust:1.95-bookworm AS source
WORKDIR /src
COPY . .
# Installs the compiler and the linker for the eBPF programs, too.
RUN cargo xtask build-ebpf

FROM source AS build-static
RUN install -D "$(cargo xtask build --static)" /image/node-problem-detector

FROM source AS build-dynamic
RUN install -D "$(cargo xtask build)" /image/node-problem-detector

# What NPD's image has beside the detector: the plugins that it calls by these paths, which are the
# same binary here, and the configs.
FROM source AS layout
RUN install -d /image/home/kubernetes/bin \
    && ln -s /node-problem-detector /image/home/kubernetes/bin/health-checker \
    && ln -s /node-problem-detector /image/home/kubernetes/bin/log-counter \
    && cp -r deploy/config /image/config

FROM scratch AS minimal
COPY --from=layout /image /
COPY --from=build-static /image /
# Without flags the built-in monitors run, among them NPD's kernel-monitor and readonly-monitor.
ENTRYPOINT ["/node-problem-detector"]

FROM debian:bookworm-slim AS full
# conntrack, iptables: connection tracking and firewall plugins. iproute2: network plugins.
# systemd: systemctl and journalctl. util-linux: lsblk.
RUN apt-get update \
    && apt-get install -y --no-install-recommends \
        bash ca-certificates conntrack iproute2 iptables systemd util-linux \
    && rm -rf /var/lib/apt/lists/* \
    # A file, not a link, so that the node's time zone can be mounted over it.
    && cp --remove-destination "$(readlink -f /etc/localtime)" /etc/localtime
COPY --from=layout /image /
COPY --from=build-dynamic /image /
ENTRYPOINT ["/node-problem-detector"]
