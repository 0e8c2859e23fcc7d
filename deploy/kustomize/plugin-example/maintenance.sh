#!/bin/sh
# Exit codes: 0 all is well, 1 there is a problem, 2 cannot tell. Standard output is the message.
file=$1
[ -n "$file" ] || { echo "usage: $0 FILE"; exit 2; }
if [ -e "$file" ]; then
  echo "$file exists"
  exit 1
fi
echo "$file does not exist"
