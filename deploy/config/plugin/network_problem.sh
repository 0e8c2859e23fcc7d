#!/bin/sh
# Whether the kernel can still track new connections: 0 yes, 1 its table is over 90 % full,
# 2 unknown, because it tracks none or its figures are not to be read.

for prefix in /proc/sys/net/netfilter/nf_conntrack /proc/sys/net/ipv4/netfilter/ip_conntrack; do
    # At once, as cat does: what the shell reads byte by byte ends after the first.
    count=$(cat "${prefix}_count" 2>/dev/null) && max=$(cat "${prefix}_max" 2>/dev/null) || continue
    if [ $((count * 100)) -gt $((max * 90)) ]; then
        echo "Conntrack table usage over 90%: $count out of $max"
        exit 1
    fi
    echo "Conntrack table usage: $count out of $max"
    exit 0
done
exit 2
