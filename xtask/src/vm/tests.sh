# Runs $TESTS with $ARGUMENTS, says how that ended, and switches the machine off.
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
busybox ip link set lo up
for module in loop ext4 xfs; do
    modprobe $module
done
echo "npd-vm: Linux $(uname -r)"
"$TESTS" $ARGUMENTS
echo "npd-vm: exit code $?"
busybox poweroff -f
