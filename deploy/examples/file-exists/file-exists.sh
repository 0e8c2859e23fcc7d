#!/bin/sh
# A plugin. Exit code 0 means that all is well, 1 that there is a problem, any other that it cannot tell.
# Standard output is the message.
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
