#!/bin/sh
# A plugin: exit code 0 means healthy, 1 sick, anything else unknown. Standard output is the message.
file=$1
if [ -z "$file" ]; then
    echo "which file?"
    exit 2
fi
if [ -e "$file" ]; then
    echo "$file exists"
    exit 1
fi
echo "$file does not exist"
