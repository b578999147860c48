#!/bin/sh
# Starts the function's handler, which is the only argument: on Lambda right away, elsewhere behind the emulator.
if [ "$#" -ne 1 ]; then
    echo "lambda-entrypoint.sh takes one argument, the handler; it was given $#" >&2
    exit 142
fi
export _HANDLER="$1"
if [ -n "${AWS_LAMBDA_RUNTIME_API:-}" ]; then
    exec /var/runtime/bootstrap
fi
exec /usr/local/bin/aws-lambda-rie /var/runtime/bootstrap
