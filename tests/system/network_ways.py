#!/usr/bin/env python3
"""A guest's other ways to a network: a tap in a bridge, IPv6 on a tap and through passt, and a network that says nothing of
limits. As tests/system/network.py, whose namespace and places it takes. Every wait is bounded."""
import re
import select
import signal
import socket
import subprocess
import sys

from network import CREATE, Echo, GUEST, HOST, RULES, WAIT_S, check, exists, main, make_way_out, passts, skip, wait_until

HOST6, GUEST6, OUTER6 = "fd00::1", "fd00::7", "fd01::1"


def has_ip6():
    """This namespace has it; a machine may have it turned off for all that are new."""
    for name in ("all", "default"):
        path = f"/proc/sys/net/ipv6/conf/{name}/disable_ipv6"
        try:
            with open(path, "r+", encoding="ascii") as file:
                if file.read().strip() != "0":
                    file.write("0")
        except OSError:
            return False
    return True


def defaults(place):
    """A network that says nothing of limits has those of the manual."""
    network = CREATE + f"addresses: [{GUEST}], egress: [{{to: 10.7.0.0/24, udp: [7]}}]"
    path = place.policy("bare", "bench=send:6000", network)
    for name, value in (("bandwidth", "100Mbit/s"), ("packets", "10000/s")):
        explained = place.command("explain", f"networks[eth0].limits.{name}", path).stdout
        check(f"by default: {name} {value}", f"networks[eth0].limits.{name}: {value}" in explained and "nobody: the default" in explained,
              explained)
    planned = place.command("plan", path).stdout
    check("planned as well", "100Mbit/s" in planned and "10000/s" in planned, planned)
    result = place.command("run", path)
    rate = re.search(r"bench: .* of 1514 bytes: .* (\d+) a second", result.stdout)
    # 6000 frames are 9.1 MB: 1.25 at once, the rest at 12.5 MB a second take 0.63 s.
    check("a guest without limits of its own sends no more than that", result.returncode == 0 and rate and
          int(rate.group(1)) < 10000, result.stdout)
    caps = {record["unmapped"]["cofferdam"]["details"]["cap"] for record in place.records("bare")
            if record["metadata"]["event_code"] == "cap_reached"}
    check("and the log says so", "bandwidth" in caps, caps)


def bridged(place):
    """A tap that is put into a bridge, which has the host's address."""
    made = subprocess.run(["ip", "link", "add", "cfb0", "type", "bridge"], check=False, stderr=subprocess.DEVNULL)
    if made.returncode != 0:
        skip("this kernel has no bridge")
        return
    network = "tap: cft0, create: {bridge: %s}, " + RULES
    for words in (f"addr add {HOST}/24 dev cfb0", "link set cfb0 up"):
        subprocess.run(["ip", *words.split()], check=True)
    words = f"network ip={GUEST} peer={HOST} ping udp=7"
    result = place.run("bridged", words, network % "cfb0")
    check("a tap in a bridge: the guest is answered", result.returncode == 0 and result.stdout.count("answered") == 4, result.stdout)
    vm = place.start("within", "network end=button", network % "cfb0")
    shown = subprocess.run(["ip", "link", "show", "cft0"], check=False, stdout=subprocess.PIPE, text=True).stdout
    check("the tap is the bridge's", "master cfb0" in shown, shown)
    vm.send_signal(signal.SIGTERM)
    check("it ends", vm.wait(WAIT_S) == 0)
    check("the tap is gone, the bridge is not", not exists("cft0") and exists("cfb0"))
    result = place.run("bridgeless", words, network % "cfb1")
    check("a bridge that is not there", result.returncode == 125 and "into the bridge cfb1" in result.stdout, result.stdout)
    check("and no tap is left of it", not exists("cft0"))
    subprocess.run(["ip", "link", "del", "cfb0"], check=True)


def over_ip6(place):
    """The same on a tap with an IPv6 address of its own, which the host uses once it is sure that nobody else has it."""
    if not has_ip6():
        skip("this kernel has no IPv6")
        return
    Echo(7, socket.AF_INET6)
    create = 'tap: cft0, create: {address: "%s", prefix: 64}, ' % HOST6
    rules = 'addresses: ["%s"], egress: [{to: "fd00::/64", udp: [7], icmp: on}]' % GUEST6
    result = place.run("six", f"network ip6={GUEST6} peer6={HOST6} ping udp=7", create + rules)
    check("IPv6: the guest is answered", result.returncode == 0 and result.stdout.count("over IPv6") == 2, result.stdout)
    result = place.run("six-no", f"network ip6={GUEST6} peer6={HOST6} udp=7", create + rules.replace("udp: [7], ", ""))
    check("IPv6: and not where no rule is", result.returncode == 1 and "no answer from UDP port 7 over IPv6" in result.stdout,
          result.stdout)
    result = place.run("six-other", f"network ip6=fd00::8 peer6={HOST6} udp=7", create + rules)
    check("IPv6: nor from another address", result.returncode == 1 and "nobody has the peer's IPv6 address" in result.stdout,
          result.stdout)


def host_itself(place):
    """Under a rule that has every address, the host's own loopback is still none of them: passt has sockets, and would reach it."""
    make_way_out()
    bound = []
    for family, address in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")):
        if family == socket.AF_INET6 and not has_ip6():
            skip("this kernel has no IPv6")
            continue
        bound.append(socket.socket(family, socket.SOCK_DGRAM))
        bound[-1].bind((address, 9))
        six = "6" if family == socket.AF_INET6 else ""
        guest, everything = (GUEST6, "::/0") if six else (GUEST, "0.0.0.0/0")
        network = 'passt: on, addresses: ["%s"], egress: [{to: "%s", udp: [9]}]' % (guest, everything)
        if six:
            give_way_out_ip6()
        result = place.run("inward" + six, f"network ip{six}={guest} peer{six}={address} udp=9", network)
        check(f"passt: no answer from {address}", result.returncode == 1 and "no answer from UDP port 9" in result.stdout, result.stdout)
        denied = [record["unmapped"]["cofferdam"]["details"] for record in place.records("inward" + six)
                  if record["metadata"]["event_code"] == "frames_denied"]
        check("and the log says what was denied", any(details["peer"] == f"{address} udp 9" for details in denied), denied)
    check("nothing arrives there", not select.select(bound, [], [], 0)[0])


def give_way_out_ip6():
    # passt wants a link-local address too, which an interface without a carrier does not give itself.
    for words in (f"addr add {OUTER6}/64 dev cft9 nodad", "addr add fe80::9/64 dev cft9 nodad", "route add default via fd01::2 dev cft9"):
        subprocess.run(["ip", "-6", *words.split()], check=True)


def with_passt_over_ip6(place):
    """passt reaches what this namespace reaches, over IPv6 alone."""
    if not has_ip6():
        skip("this kernel has no IPv6")
        return
    closed = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
    closed.bind((OUTER6, 8))
    closed.setblocking(False)
    network = 'passt: on, addresses: ["%s"], egress: [{to: "%s/128", udp: [7]}]' % (GUEST6, OUTER6)
    result = place.run("passt6", f"network ip6={GUEST6} peer6={OUTER6} udp=7", network)
    check("passt: the guest is answered over IPv6", result.returncode == 0 and "UDP port 7 answered over IPv6" in result.stdout,
          result.stdout)
    result = place.run("passt6-no", f"network ip6={GUEST6} peer6={OUTER6} udp=8", network)
    check("passt: not where no rule is", result.returncode == 1 and "no answer from UDP port 8 over IPv6" in result.stdout,
          result.stdout)
    check("passt: and nothing arrives there", not select.select([closed], [], [], 0)[0])
    check("passt: no more after it", wait_until(lambda: not passts()), passts())


if __name__ == "__main__":
    sys.exit(main(defaults, bridged, over_ip6, host_itself, with_passt_over_ip6))
