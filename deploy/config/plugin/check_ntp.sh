#!/bin/sh
# Whether systemd runs the NTP service: 0 yes, 1 no, or there is no such service, 2 unknown.
# In a container systemctl answers for the host if its /run/systemd and /run/dbus are mounted.

service=ntp.service

if ! command -v systemctl >/dev/null; then
    echo "Could not find 'systemctl' - require systemd"
    exit 2
fi
# sd_booted(3). Without, systemctl fails, or does nothing and says that all went well.
if [ ! -d /run/systemd/system ]; then
    echo "cannot tell: systemd is not to be reached"
    exit 2
fi
SYSTEMD_IGNORE_CHROOT=1 systemctl --quiet is-active "$service"
case $? in
0) echo "$service is running" ;;
3 | 4) # not active, no such unit
    echo "$service is not running"
    exit 1
    ;;
*)
    echo "cannot tell: systemctl does not reach systemd"
    exit 2
    ;;
esac
