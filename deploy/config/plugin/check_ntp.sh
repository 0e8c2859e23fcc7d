#!/bin/sh
# Whether systemd runs the NTP service: 0 yes, 1 no, or there is no such service, 2 unknown.

service=ntp.service

if ! command -v systemctl >/dev/null; then
    echo "cannot tell without systemctl"
    exit 2
fi
if ! systemctl --quiet is-active "$service"; then
    echo "$service is not running"
    exit 1
fi
echo "$service is running"
