"""Python for functions: interpreters, the environments that stand for AWS's runtimes, and libraries built for them."""
