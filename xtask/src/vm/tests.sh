# Runs $TESTS with $ARGUMENTS, says how that ended, and switches the machine off.
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
export NPD_GUEST=1
busybox ip link set lo up
for module in loop ext4 xfs btrfs raid1 dm_thin_pool dm_flakey nfsd nfsv4 nvmet_tcp nvme_tcp rdma_rxe dummy fuse; do
    modprobe $module
done
echo "npd-vm: Linux $(uname -r)"
"$TESTS" $ARGUMENTS
echo "npd-vm: exit code $?"
busybox poweroff -f
