# Owned by stackctl: edits show as drift and are undone by the next apply.
# Tells gateways which of this host's replicas are being drained: `perl drain.pl ADDRESS PORT FOLDER`.
#
# A gateway's HAProxy asks twice a second for each replica (`agent-check`): it connects, sends the replica's name and
# reads one line, the share of its weight that the replica is to have. At 0% it gets no new requests and finishes what
# it has begun; what a person sets on a gateway by hand stays as it is.
#
# A drain is a file FOLDER/NAME that holds the kernel's seconds since boot at which it ends: nobody's clock matters,
# a boot clears all, and a drain that was forgotten ends by itself.
use strict;
use warnings;
use Socket qw(PF_INET SOCK_STREAM SOL_SOCKET SO_RCVTIMEO SO_REUSEADDR SOMAXCONN inet_aton sockaddr_in);

use constant { IPPROTO_IP => 0, IP_FREEBIND => 15, LONGEST_NAME => 256 };

sub first_line {
    my ($path) = @_;
    open(my $file, '<', $path) or return '';
    return scalar(readline($file)) // '';
}

sub drained {
    my ($file) = @_;
    my ($end) = first_line($file) =~ /^(\d+)$/ or return 0;
    my ($now) = first_line('/proc/uptime') =~ /^(\d+)/ or return 0;
    return $now < $end;
}

my ($address, $port, $folder) = @ARGV;
$SIG{PIPE} = 'IGNORE';
socket(my $listener, PF_INET, SOCK_STREAM, 0) or die "socket: $!\n";
setsockopt($listener, SOL_SOCKET, SO_REUSEADDR, 1) or die "SO_REUSEADDR: $!\n";
# The address may be that of a mesh which comes up later.
setsockopt($listener, IPPROTO_IP, IP_FREEBIND, 1) or die "IP_FREEBIND: $!\n";
bind($listener, sockaddr_in($port, inet_aton($address))) or die "$address:$port: $!\n";
listen($listener, SOMAXCONN) or die "$address:$port: $!\n";

while (1) {
    accept(my $peer, $listener) or next;
    # Whoever connects and says nothing holds up the others no longer than this.
    setsockopt($peer, SOL_SOCKET, SO_RCVTIMEO, pack('l!l!', 0, 100_000));
    sysread($peer, my $asked, LONGEST_NAME);
    my ($name) = ($asked // '') =~ /^(\w[\w.-]*)\n/;
    syswrite($peer, drained("$folder/$name") ? "0%\n" : "100%\n") if defined $name;
    close($peer);
}
