#!/usr/bin/perl
# asker ADDRESS FILE asks at ADDRESS again and again until there is a FILE. It prints how often it was answered, or what went wrong.
use strict;
use warnings;
use IO::Socket::INET;

my ($address, $file) = @ARGV;
my $answered = 0;
until (-e $file) {
    my $server = IO::Socket::INET->new(PeerAddr => $address, Timeout => 10) or die "after $answered answers: $@\n";
    print $server "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n";
    my $answer = join '', <$server>;
    $answer =~ /plain\n$/ or die "after $answered answers: '$answer'\n";
    $answered++;
    select undef, undef, undef, 0.01;
}
print "$answered\n";
