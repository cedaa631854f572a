# Makes a host's WireGuard key where it stays: `perl - FOLDER NUMBER`.
#
# It runs before any package is installed, so that all hosts can know each other's public keys before one of them is
# changed: hence the arithmetic of RFC 7748 in place of `wg`, and Perl, which every Debian and Ubuntu has from its
# first boot on. A key that is there is never replaced. A new one waits under another name until an apply takes it
# into use.
use strict;
use warnings;
use integer;    # 64 bits with a sign: sums of sixteen products of 17 bits each stay far below that
use Fcntl;
use IO::Handle;

# Numbers modulo 2^255 - 19 are sixteen digits of 16 bits, the least first.

sub carried {
    my @digits = @_;
    for my $round (1 .. 2) {
        for my $place (0 .. 15) {
            my $over = $digits[$place] >> 16;
            $digits[$place] -= $over << 16;
            # 2^256 is 38
            if ($place < 15) { $digits[$place + 1] += $over } else { $digits[0] += 38 * $over }
        }
    }
    return [@digits];
}

sub plus  { my ($one, $other) = @_; return carried(map { $one->[$_] + $other->[$_] } 0 .. 15) }
sub minus { my ($one, $other) = @_; return carried(map { $one->[$_] - $other->[$_] } 0 .. 15) }

sub product {
    my ($one, $other) = @_;
    my @sums = (0) x 31;
    for my $left (0 .. 15) {
        my $digit = $one->[$left];
        $sums[$left + $_] += $digit * $other->[$_] for 0 .. 15;
    }
    $sums[$_] += 38 * $sums[$_ + 16] for 0 .. 14;
    return carried(@sums[0 .. 15]);
}

# By Fermat: to the power of 2^255 - 21, whose bits are ones but for the third and the fifth from the end.
sub inverse {
    my ($number) = @_;
    my $power = $number;
    for my $bit (reverse 0 .. 253) {
        $power = product($power, $power);
        $power = product($power, $number) unless $bit == 2 || $bit == 4;
    }
    return $power;
}

sub read_number {
    my @digits = unpack 'v16', $_[0];
    $digits[15] &= 0x7fff;
    return [@digits];
}

sub written {
    my @digits = @{ carried(@{ $_[0] }) };
    for my $round (1 .. 2) {    # what is left may be twice as large as the modulus
        my @less = ($digits[0] - 0xffed, map({ $digits[$_] - 0xffff } 1 .. 14), $digits[15] - 0x7fff);
        for my $place (0 .. 14) {
            my $over = $less[$place] >> 16;
            $less[$place] -= $over << 16;
            $less[$place + 1] += $over;
        }
        @digits = @less if $less[15] >= 0;
    }
    return pack 'v16', @digits;
}

# Doubles the one point, and adds the two, whose difference is known.
sub stepped {
    my ($one, $other, $difference) = @_;
    my ($sum, $rest) = (plus(@$one), minus(@$one));
    my ($squared, $square) = (product($sum, $sum), product($rest, $rest));
    my $between = minus($squared, $square);
    my ($cross, $crossed) = (product(minus(@$other), $sum), product(plus(@$other), $rest));
    my ($all, $apart) = (plus($cross, $crossed), minus($cross, $crossed));
    my $factor = [121665 & 0xffff, 121665 >> 16, (0) x 14];
    return (
        [product($squared, $square), product($between, plus($squared, product($factor, $between)))],
        [product($all, $all), product($difference, product($apart, $apart))],
    );
}

# RFC 7748's function of a private key and a point, 32 bytes each.
sub x25519 {
    my ($scalar, $point) = @_;
    my @bits = split //, unpack 'b256', $scalar;
    @bits[0, 1, 2, 254, 255] = (0, 0, 0, 1, 0);
    my $difference = read_number($point);
    my ($zero, $one) = ([(0) x 16], [1, (0) x 15]);
    my ($low, $high) = ([$one, $zero], [$difference, $one]);
    for my $bit (reverse 0 .. 254) {
        if   ($bits[$bit]) { ($high, $low) = stepped($high, $low, $difference) }
        else               { ($low, $high) = stepped($low, $high, $difference) }
    }
    return written(product($low->[0], inverse($low->[1])));
}

my @alphabet = ('A' .. 'Z', 'a' .. 'z', 0 .. 9, '+', '/');

# Base64 of 32 bytes.
sub encoded {
    my $bits = unpack('B256', $_[0]) . '00';
    return join('', map { $alphabet[oct "0b$_"] } $bits =~ /(.{6})/g) . '=';
}

sub decoded {
    my ($text) = @_;
    $text =~ m{^([A-Za-z0-9+/]{43})=\s*$} or die "no key\n";
    my %value;
    @value{@alphabet} = 0 .. 63;
    return pack 'B256', join '', map { sprintf '%06b', $value{$_} } split //, $1;
}

sub staged {
    my ($path, $text) = @_;
    my $name = "$path.$$";
    sysopen my $file, $name, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW, 0600 or die "$name: $!\n";
    print {$file} $text   or die "$name: $!\n";
    $file->flush          or die "$name: $!\n";
    $file->sync           or die "$name: $!\n";
    close $file           or die "$name: $!\n";
    return $name;
}

sub content {
    my ($path) = @_;
    open my $file, '<', $path or die "$path: $!\n";
    local $/;
    return scalar <$file>;
}

sub fresh {
    open my $file, '<:raw', '/dev/urandom' or die "/dev/urandom: $!\n";
    (read($file, my $bytes, 32) // 0) == 32 or die "/dev/urandom: too little\n";
    my @octets = unpack 'C32', $bytes;
    $octets[0] &= 248;
    $octets[31] = $octets[31] & 127 | 64;
    return pack 'C32', @octets;
}

sub public_of { return encoded(x25519(decoded($_[0]), pack('C32', 9, (0) x 31))) }

# Has a key with this number, in use or waiting, and its public key beside it.
sub make {
    my ($folder, $number) = @_;
    umask 077;
    -d $folder or mkdir $folder, 0700 or die "$folder: $!\n";
    opendir my $there, $folder or die "$folder: $!\n";
    for (readdir $there) { return if /^stackctl-(\d+)\.key$/ && $1 > $number }    # an inventory of old
    my ($key, $public) = ("$folder/stackctl-$number.key", "$folder/stackctl-$number.pub");
    if (!-e $key) {
        ($key, $public) = ("$folder/.stackctl-$number.key.new", "$folder/.stackctl-$number.pub.new");
        my $new = staged($key, encoded(fresh()) . "\n");
        my $put = link($new, $key) || $!{EEXIST};    # one that came first stays
        unlink $new;
        $put or die "$key: $!\n";
    }
    my $wanted = public_of(content($key)) . "\n";
    return if -e $public && content($public) eq $wanted;
    rename staged($public, $wanted), $public or die "$public: $!\n";
}

if ($ARGV[0] eq '--public') { print public_of(join '', <STDIN>), "\n" }
else                        { make(@ARGV) }
