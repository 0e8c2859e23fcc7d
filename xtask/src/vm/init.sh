#!/bin/sh
# The first process of a guest. Makes the host's files its own, without writing to them, and runs
# the tests there. Its environment: MODULES, where on the host this kernel's modules are.
mount -t devtmpfs dev /dev
exec >/dev/console 2>&1
mount -t proc proc /proc
for module in $(cat /order); do
    insmod "/modules/$module"
done
mount -t 9p -o trans=virtio,version=9p2000.L,msize=262144,cache=loose,ro host /host
mount -t tmpfs tmpfs /own
mkdir /own/files /own/work /own/root
root=/own/root
mount -t overlay -o lowerdir=/host,upperdir=/own/files,workdir=/own/work overlay $root
mount -t proc proc $root/proc
mount -t sysfs sys $root/sys
mount -t devtmpfs dev $root/dev
mount -t tmpfs tmpfs $root/run
mount -t cgroup2 cgroup $root/sys/fs/cgroup
mount -t tracefs tracefs $root/sys/kernel/tracing
mkdir -p $root/usr/lib/modules
mount -o bind "$root$MODULES" $root/usr/lib/modules
cp /tests.sh $root/tmp/
exec chroot $root /bin/sh /tmp/tests.sh
