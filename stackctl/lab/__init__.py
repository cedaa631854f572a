"""The lab: virtual hosts on this machine, wired in network namespaces of their own."""
