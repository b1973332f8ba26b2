#!/usr/bin/perl
# A program that knows nothing of handover: it answers whoever connects to the socket that it is given, until SIGTERM. It says as many lines as its
# argument says.
use strict;
use warnings;
use IO::Select;
use IO::Socket::INET;

$ENV{LISTEN_PID} == $$ && $ENV{LISTEN_FDS} == 1 or die "plain: no socket was given\n";
my $listener = IO::Socket::INET->new_from_fd(3, "r+") or die "plain: $!\n";
$listener->blocking(0); # another of its kind may be faster
print STDERR "plain $$ says $_\n" for 1 .. ($ARGV[0] // 0);
my $ended = 0;
$SIG{TERM} = sub { $ended = 1 };
my $connections = IO::Select->new($listener);
until ($ended) {
    $connections->can_read(0.2) or next;
    my $client = $listener->accept or next;
    $client->blocking(1);
    while (my $line = <$client>) {
        last if $line =~ /^\r?$/;
    }
    print $client "HTTP/1.1 200 OK\r\nContent-Length: 6\r\nConnection: close\r\n\r\nplain\n";
    close $client;
}
print STDERR "plain $$ has ended\n";
