#!/bin/sh
# Whether the cluster's DNS knows the API server's name: 0 yes, 1 no, 2 unknown.

name=kubernetes.default

if ! command -v getent >/dev/null; then
    echo "Could not find 'getent' - require getent"
    exit 2
fi
if ! getent hosts "$name" >/dev/null; then
    echo "DNS lookup to $name is not working"
    exit 1
fi
echo "DNS lookup to $name is working"
