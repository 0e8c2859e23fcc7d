#!/bin/sh
# The node's network plugin: every pod is on the machine's own network, also one without hostNetwork, so that it reaches
# the API server on loopback. containerd sets up `lo` by the plugin of the name `loopback` in any case, then `eth0` by
# the configured one: this is both. https://www.cni.dev/docs/spec/
set -eu
case $CNI_COMMAND-$CNI_IFNAME in
ADD-eth0)
    mount --bind /proc/self/ns/net "$CNI_NETNS"
    ips='{ "version": "4", "interface": 0, "address": "127.0.0.1/8" }'
    ;;
DEL-eth0) umount "$CNI_NETNS" || true ;;
esac
[ "$CNI_COMMAND" != ADD ] || cat <<END
{
    "cniVersion": "0.4.0",
    "interfaces": [{ "name": "$CNI_IFNAME", "sandbox": "$CNI_NETNS" }],
    "ips": [${ips-}]
}
END
