# The agent's image, in two sizes: `docker build --target minimal .` has the agent and its configs,
# `--target full` (the default) also has the programs that script plugins call. Both have the layout
# of NPD's image. `cargo xtask image` builds the same image without Docker, from the same files.
#
# The base images are named by the digests of their multi-platform indexes, so they change only when
# this file changes. `docker buildx imagetools inspect debian:bookworm-slim` prints the newest digest.

FROM rust:1.95-bookworm@sha256:6258907abe69656e41cd992e0b705cdcfabcbbe3db374f92ed2d47121282d4a1 AS files
WORKDIR /npd-ebpf
COPY . .
RUN cargo xtask image --files /image

FROM scratch AS minimal
COPY --from=files /image /
ENTRYPOINT ["/node-problem-detector", "--config.system-log-monitor=builtin", "--config.ebpf-monitor=builtin", "--config.system-stats-monitor=builtin"]

FROM debian:bookworm-slim@sha256:3783cc01769c7b2b1b83a5c5ad96c815348e28ed7da68e2e3687004faa906251 AS full
COPY deploy/image/packages /tmp/packages
# Also install Debian's fixes since the base image was made.
RUN apt-get update \
    && apt-get upgrade -y \
    && sed 's/#.*//' /tmp/packages | xargs apt-get install -y --no-install-recommends \
    && rm -rf /var/lib/apt/lists/* /tmp/packages \
    # A file, not a link, so that the node's time zone can be mounted over it.
    && cp --remove-destination "$(readlink -f /etc/localtime)" /etc/localtime
COPY deploy/image/clean-install /usr/local/bin/
COPY --from=files /image /
ENTRYPOINT ["/node-problem-detector", "--config.system-log-monitor=builtin", "--config.ebpf-monitor=builtin", "--config.system-stats-monitor=builtin"]
