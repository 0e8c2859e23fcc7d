# The agent's image, in two sizes: `docker build --target minimal .` is the agent and its configs,
# `--target full` (the default) has what script plugins call, too. Both have the layout of NPD's
# image. `cargo xtask image` builds the same without Docker, from the same files.

FROM rust:1.95-bookworm AS files
WORKDIR /npd-ebpf
COPY . .
# Installs the compiler and the linker for the eBPF programs, too.
RUN cargo xtask image --files /image

FROM scratch AS minimal
COPY --from=files /image /
ENTRYPOINT ["/node-problem-detector", "--config.system-log-monitor=/config/kernel-monitor.json,/config/readonly-monitor.json"]

FROM debian:bookworm-slim AS full
COPY deploy/image/packages /tmp/packages
RUN apt-get update \
    && sed 's/#.*//' /tmp/packages | xargs apt-get install -y --no-install-recommends \
    && rm -rf /var/lib/apt/lists/* /tmp/packages \
    # A file, not a link, so that the node's time zone can be mounted over it.
    && cp --remove-destination "$(readlink -f /etc/localtime)" /etc/localtime
COPY --from=files /image /
ENTRYPOINT ["/node-problem-detector", "--config.system-log-monitor=/config/kernel-monitor.json,/config/readonly-monitor.json"]
