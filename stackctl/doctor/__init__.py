"""Whether a host does what is declared, rung by rung; pure: what was seen comes in, findings go out."""
