#!/bin/sh
# Whether rules come from one of the two kinds of iptables only, which do not see each other's:
# 0 yes, or there are none, 1 both have rules.

# The rules of one kind, as a number: `-A`, a line each.
count() {
    for family in iptables ip6tables; do
        "$family-$1-save" 2>/dev/null
    done | grep -c '^-'
}

legacy=$(count legacy)
nft=$(count nft)

if [ "$legacy" -gt 0 ] && [ "$nft" -gt 0 ]; then
    echo "Found rules from both versions, iptables-legacy: $legacy iptables-nft: $nft"
    exit 1
elif [ "$legacy" -gt 0 ]; then
    echo "Using iptables-legacy: $legacy rules"
elif [ "$nft" -gt 0 ]; then
    echo "Using iptables-nft: $nft rules"
else
    echo "No iptables rules found"
fi
