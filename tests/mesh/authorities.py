"""Authorities and a host's certificate as `nebula-cert` 1.6 and 1.9 made them; what signed them is gone."""

FLEET = """\
-----BEGIN NEBULA CERTIFICATE-----
CjcKBWZsZWV0KPeOltgGMPfK9rcSOiAR54TuWM8+zXzpGuPl1oOQ4o58NFeaAXhc
IM0/W2j7LkABEkBQzU+UfTv6t9eVkpb6lKqKotY2/c06n9F4XSGUO6Xo+t3twczq
PYBZYGEVQFUCbKM/qHdrbzc9EvI1wTmOIG0D
-----END NEBULA CERTIFICATE-----
"""
"""Signs for everybody."""

NARROW = """\
-----BEGIN NEBULA CERTIFICATE-----
CmkKBm5hcnJvdxIJgIC0UoCA/P8PGgqAgPjgCoCA/P8PIgdnYXRld2F5IgZtb2Rl
bHMiB3RydXN0ZWQo946W2AYw98r2txI6IOIolnYVkBnD1FQnFF+K1D+97RI5Oa5v
D6KUmOBtuC1QQAESQM+agCarlLZqtDqLnlo4UNwoEx4qneYriu5c9TtB+f3jdb8a
MCE2rKhoX4kBLio4FhMcVayWJLFxoLTOIL+evws=
-----END NEBULA CERTIFICATE-----
"""
"""Signs for 10.77.0.0/16, networks of 172.30.0.0/16, and the groups `gateway`, `models` and `trusted`."""

OTHER_CURVE = """\
-----BEGIN NEBULA CERTIFICATE-----
ClsKBW90aGVyKPeOltgGMPfK9rcSOkEESM0o/7m2MiVeNIaVwG1+m22/ofN4hVlJ
F/3n3prCHegYzZfAy1kq6CItwprZ80BnJwABhXAvO/lNMzxwVbACU0ABoAYBEkcw
RQIgFwYVjQBxW2OyJprHAqghgAGUFwDBqKCkn43lfiFxarECIQDRIGAYTd2nXyqm
ZlMEwVOVZ9X5mG0upLzgpzhilugq9A==
-----END NEBULA CERTIFICATE-----
"""
"""An authority of the curve P256."""

EDGE = """\
-----BEGIN NEBULA CERTIFICATE-----
CokBCgRlZGdlEgmLgLRSgP7//w8aFICC+OAKgP7//w+AhPjgCoD+//8PIgdnYXRl
d2F5Igd0cnVzdGVkKPeOltgGMPbK9rcSOiArAfW6gSy3T/Z2GNgTWzcPqwhnr0M9
j7CevNj7S9PvZ0ogOVQHSo7jKCUjqnn9ITwYbfM7hLfUAQKpHZC8zqzRFP0SQOVt
RnuEDYJF51N2NJ/QlMULV4qPQfzA8oMbIoSEU2vfSirmuqGaxtMz+inQj3vmoQnk
+lBNNzB387XjHp0oGQk=
-----END NEBULA CERTIFICATE-----
"""
"""A host's, by the narrow one."""

EDGE_KEY = """\
-----BEGIN NEBULA X25519 PUBLIC KEY-----
KwH1uoEst0/2dhjYE1s3D6sIZ69DPY+wnrzY+0vT72c=
-----END NEBULA X25519 PUBLIC KEY-----
"""
"""The public half of the key that it is for."""
