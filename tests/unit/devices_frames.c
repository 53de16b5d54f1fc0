/* Promises of devices/frames.c: what the policy allows passes, each way; whatever differs from it by one thing does
 * not, and nothing is read past a frame's end (each lies in memory of its exact size).
 */
#include "tests/unit/fake_frames.h"
#include "tests/unit/run_suite.h"

#include <stdlib.h>
#include <string.h>

enum { CHANGES_MAX = 6, IP = 14, L4 = 34, L6 = 54 };

struct row {
	enum fake_frame frame;
	struct {
		uint16_t offset;
		uint8_t value;
	} changes[CHANGES_MAX]; /* offset 0: none */
	int32_t more;           /* bytes at the end, or fewer */
	enum denial denial;
};

static enum denial check(const struct plan_network *network, bool is_egress, const uint8_t *bytes, uint32_t size)
{
	struct frame frame;
	uint8_t *exact = malloc(size > 0 ? size : 1);

	memcpy(exact, bytes, size);
	enum denial denial = is_egress ? frame_check_egress(network, exact, size, &frame)
				       : frame_check_ingress(network, exact, size, &frame);
	free(exact);
	return denial;
}

static enum denial check_row(const struct row *row, bool is_egress)
{
	uint8_t bytes[FAKE_FRAME_MAX];
	uint32_t size = fake_frame(row->frame, bytes);

	for (unsigned i = 0; i < CHANGES_MAX; i++)
		if (row->changes[i].offset != 0)
			bytes[row->changes[i].offset] = row->changes[i].value;
	return check(&fake_network, is_egress, bytes, (uint32_t)((int32_t)size + row->more));
}

/* ---- out ---- */

START_TEST(good_frames_leave)
{
	ck_assert_int_eq(check_row(&(struct row){.frame = (enum fake_frame)_i}, true), DENIAL_NONE);
}
END_TEST

static const struct row out[] = {
    /* rules */
    {FAKE_TCP4, {{L4 + 3, 188}}, 0, DENIAL_EGRESS},               /* port 444 */
    {FAKE_TCP4, {{L4 + 2, 31}, {L4 + 3, 63}}, 0, DENIAL_EGRESS},  /* 7999 */
    {FAKE_TCP4, {{L4 + 2, 31}, {L4 + 3, 64}}, 0, DENIAL_NONE},    /* 8000 */
    {FAKE_TCP4, {{L4 + 2, 31}, {L4 + 3, 144}}, 0, DENIAL_NONE},   /* 8080 */
    {FAKE_TCP4, {{L4 + 2, 31}, {L4 + 3, 145}}, 0, DENIAL_EGRESS}, /* 8081 */
    {FAKE_TCP4, {{L4 + 3, 53}, {L4 + 2, 0}}, 0, DENIAL_EGRESS},   /* a port of UDP's */
    {FAKE_UDP4, {{L4 + 2, 1}, {L4 + 3, 187}}, 0, DENIAL_EGRESS},  /* a port of TCP's */
    {FAKE_TCP4, {{IP + 18, 1}}, 0, DENIAL_EGRESS},                /* 10.0.1.9 */
    {FAKE_TCP6, {{IP + 24 + 7, 1}}, 0, DENIAL_EGRESS},            /* fd00:0:0:1::9 */
    {FAKE_PING4, {{L4, 0}}, 0, DENIAL_NONE},                      /* answers one that may come in … */
    {FAKE_PING4, {{L4, 0}, {IP + 19, 200}}, 0, DENIAL_EGRESS},    /* … from there alone */
    {FAKE_PING4, {{L4, 5}}, 0, DENIAL_EGRESS},                    /* redirect */
    {FAKE_PING4, {{L4 + 1, 1}}, 0, DENIAL_EGRESS},
    {FAKE_PING6, {{L6, 129}}, 0, DENIAL_NONE},
    {FAKE_PING6, {{L6, 130}}, 0, DENIAL_EGRESS},
    /* answers to what may come in: from port 22, but never the first segment */
    {FAKE_TCP4, {{L4, 0}, {L4 + 1, 22}, {L4 + 3, 9}, {L4 + 13, 0x12}}, 0, DENIAL_NONE},
    {FAKE_TCP4, {{L4, 0}, {L4 + 1, 22}, {L4 + 3, 9}, {L4 + 13, 0x02}}, 0, DENIAL_EGRESS},
    {FAKE_TCP4, {{L4, 0}, {L4 + 1, 22}, {L4 + 3, 9}, {L4 + 13, 0x03}}, 0, DENIAL_EGRESS}, /* whatever it is besides */
    {FAKE_TCP4, {{L4, 0}, {L4 + 1, 22}, {L4 + 3, 9}, {L4 + 13, 0xc2}}, 0, DENIAL_EGRESS},
    {FAKE_TCP4, {{L4, 0}, {L4 + 1, 22}, {L4 + 3, 9}, {L4 + 13, 0x12}, {IP + 19, 200}}, 0, DENIAL_EGRESS},
    {FAKE_UDP4, {{L4, 19}, {L4 + 1, 136}, {L4 + 3, 9}}, 0, DENIAL_NONE},
    {FAKE_UDP4, {{L4, 19}, {L4 + 1, 137}, {L4 + 3, 9}}, 0, DENIAL_EGRESS},
    /* who sends */
    {FAKE_TCP4, {{6, 4}}, 0, DENIAL_SOURCE_MAC},
    {FAKE_TCP4, {{11, 8}}, 0, DENIAL_SOURCE_MAC},
    {FAKE_ARP_REQUEST, {{11, 8}}, 0, DENIAL_SOURCE_MAC},
    {FAKE_SOLICITATION, {{6, 0}}, 0, DENIAL_SOURCE_MAC},
    {FAKE_TCP4, {{IP + 15, 8}}, 0, DENIAL_SOURCE_ADDRESS},
    {FAKE_TCP6, {{IP + 8 + 15, 8}}, 0, DENIAL_SOURCE_ADDRESS},
    {FAKE_PING6, {{IP + 8, 0xfe}, {IP + 9, 0x80}}, 0, DENIAL_SOURCE_ADDRESS},
    /* what is behind a tag or a header is not looked for */
    {FAKE_TCP4, {{12, 0x81}, {13, 0}}, 0, DENIAL_PROTOCOL},
    {FAKE_TCP4, {{12, 0x88}, {13, 0xa8}}, 0, DENIAL_PROTOCOL},
    {FAKE_TCP4, {{12, 0x91}, {13, 0}}, 0, DENIAL_PROTOCOL},
    {FAKE_TCP4, {{12, 0}, {13, 46}}, 0, DENIAL_PROTOCOL},      /* 802.3 */
    {FAKE_TCP4, {{12, 0x88}, {13, 0x64}}, 0, DENIAL_PROTOCOL}, /* PPPoE */
    {FAKE_TCP4, {{IP + 9, 47}}, 0, DENIAL_PROTOCOL},
    {FAKE_TCP4, {{IP + 9, 4}}, 0, DENIAL_PROTOCOL},
    {FAKE_TCP4, {{IP + 9, 41}}, 0, DENIAL_PROTOCOL},
    {FAKE_PING4, {{IP + 9, 58}}, 0, DENIAL_PROTOCOL},
    {FAKE_PING6, {{IP + 6, 1}}, 0, DENIAL_PROTOCOL},
    {FAKE_TCP6, {{IP + 6, 41}}, 0, DENIAL_PROTOCOL},
    {FAKE_TCP4, {{IP, 0x46}}, 0, DENIAL_OPTIONS},
    {FAKE_TCP4, {{IP, 0x4f}}, 0, DENIAL_OPTIONS},
    {FAKE_TCP6, {{IP + 6, 0}}, 0, DENIAL_OPTIONS},
    {FAKE_TCP6, {{IP + 6, 43}}, 0, DENIAL_OPTIONS},
    {FAKE_TCP6, {{IP + 6, 50}}, 0, DENIAL_OPTIONS},
    {FAKE_TCP6, {{IP + 6, 51}}, 0, DENIAL_OPTIONS},
    {FAKE_TCP6, {{IP + 6, 59}}, 0, DENIAL_OPTIONS},
    {FAKE_TCP6, {{IP + 6, 60}}, 0, DENIAL_OPTIONS},
    {FAKE_TCP6, {{IP + 6, 135}}, 0, DENIAL_OPTIONS},
    {FAKE_TCP6, {{IP + 6, 139}}, 0, DENIAL_OPTIONS},
    {FAKE_TCP6, {{IP + 6, 140}}, 0, DENIAL_OPTIONS},
    {FAKE_TCP6, {{IP + 6, 44}}, 0, DENIAL_FRAGMENT},
    {FAKE_TCP4, {{IP + 6, 0x20}}, 0, DENIAL_FRAGMENT}, /* the first one */
    {FAKE_TCP4, {{IP + 6, 0}, {IP + 7, 1}}, 0, DENIAL_FRAGMENT},
    {FAKE_TCP4, {{IP + 6, 0x1f}, {IP + 7, 0xff}}, 0, DENIAL_FRAGMENT},
    {FAKE_TCP4, {{IP + 6, 0x80}}, 0, DENIAL_FRAGMENT},
    {FAKE_TCP4, {{IP + 6, 0}}, 0, DENIAL_NONE}, /* without Don't Fragment */
    /* lengths */
    {FAKE_TCP4, {{IP, 0x44}}, 0, DENIAL_MALFORMED},
    {FAKE_TCP4, {{IP, 0x65}}, 0, DENIAL_MALFORMED},
    {FAKE_TCP6, {{IP, 0x40}}, 0, DENIAL_MALFORMED},
    {FAKE_TCP4, {{IP + 3, 47}}, 0, DENIAL_MALFORMED}, /* longer than the frame */
    {FAKE_TCP4, {{IP + 3, 19}}, 0, DENIAL_MALFORMED},
    {FAKE_TCP4, {{IP + 3, 39}}, 0, DENIAL_MALFORMED}, /* half a TCP header */
    {FAKE_TCP4, {{L4 + 12, 0x40}}, 0, DENIAL_MALFORMED},
    {FAKE_TCP4, {{L4 + 12, 0x70}}, 0, DENIAL_MALFORMED}, /* options past the end */
    {FAKE_TCP4, {{L4 + 12, 0x60}}, 0, DENIAL_NONE},
    {FAKE_TCP4, {{0, 0}}, -1, DENIAL_MALFORMED},
    {FAKE_TCP4, {{0, 0}}, 1, DENIAL_MALFORMED}, /* something behind the packet */
    {FAKE_UDP4, {{0, 0}}, 14, DENIAL_NONE},     /* filled up to 60 */
    {FAKE_UDP4, {{0, 0}}, 15, DENIAL_MALFORMED},
    {FAKE_TCP4, {{IP + 3, 40}}, -6, DENIAL_NONE}, /* headers alone */
    {FAKE_UDP4, {{IP + 3, 28}, {L4 + 5, 8}}, -4, DENIAL_NONE},
    {FAKE_ROUTER_SOLICITATION, {{IP + 5, 8}}, -8, DENIAL_NONE},
    {FAKE_SOLICITATION, {{IP + 5, 24}}, -8, DENIAL_NONE},
    {FAKE_UDP4, {{L4 + 5, 11}}, 0, DENIAL_MALFORMED},
    {FAKE_UDP4, {{L4 + 5, 13}}, 0, DENIAL_MALFORMED},
    {FAKE_UDP6, {{L6 + 5, 0}}, 0, DENIAL_MALFORMED},
    {FAKE_TCP6, {{IP + 5, 27}}, 0, DENIAL_MALFORMED},
    {FAKE_TCP6, {{IP + 5, 0}}, 0, DENIAL_MALFORMED}, /* a jumbogram's */
    {FAKE_TCP6, {{0, 0}}, 1, DENIAL_MALFORMED},
    /* ARP */
    {FAKE_ARP_REPLY, {{IP + 17, 9}}, 0, DENIAL_ARP},   /* 10.0.0.9 is at … */
    {FAKE_ARP_REQUEST, {{IP + 17, 9}}, 0, DENIAL_ARP}, /* the same by a request */
    {FAKE_ARP_REPLY, {{IP + 13, 9}}, 0, DENIAL_ARP},   /* … another station's MAC */
    {FAKE_ARP_REPLY, {{IP + 14, 0}, {IP + 17, 0}}, 0, DENIAL_ARP},
    {FAKE_ARP_REQUEST, {{IP + 14, 0}, {IP + 17, 0}}, 0, DENIAL_ARP},
    {FAKE_ARP_REQUEST, {{IP + 14, 0}, {IP + 17, 0}, {IP + 27, 7}}, 0, DENIAL_NONE}, /* whether 10.0.0.7 is taken */
    {FAKE_ARP_REQUEST, {{IP + 7, 3}}, 0, DENIAL_ARP},
    {FAKE_ARP_REQUEST, {{IP + 1, 6}}, 0, DENIAL_ARP},
    {FAKE_ARP_REQUEST, {{IP + 2, 0x86}}, 0, DENIAL_ARP},
    {FAKE_ARP_REQUEST, {{IP + 4, 8}}, 0, DENIAL_ARP},
    {FAKE_ARP_REQUEST, {{IP + 5, 16}}, 0, DENIAL_ARP},
    {FAKE_ARP_REQUEST, {{0, 0}}, -1, DENIAL_ARP},
    {FAKE_ARP_REQUEST, {{0, 0}}, 18, DENIAL_NONE},
    {FAKE_ARP_REQUEST, {{0, 0}}, 19, DENIAL_ARP},
    /* neighbour discovery */
    {FAKE_ADVERTISEMENT, {{L6 + 8 + 15, 9}}, 0, DENIAL_NEIGHBOUR}, /* another's address */
    {FAKE_ADVERTISEMENT, {{L6 + 24 + 7, 9}}, 0, DENIAL_NEIGHBOUR}, /* another's MAC */
    {FAKE_ADVERTISEMENT, {{L6 + 25, 2}}, 0, DENIAL_NEIGHBOUR},     /* an option past the end */
    {FAKE_ADVERTISEMENT, {{L6 + 25, 0}}, 0, DENIAL_NEIGHBOUR},
    {FAKE_ADVERTISEMENT, {{L6 + 24, 3}}, 0, DENIAL_NEIGHBOUR},  /* a prefix */
    {FAKE_ADVERTISEMENT, {{IP + 7, 254}}, 0, DENIAL_NEIGHBOUR}, /* came through a router */
    {FAKE_ADVERTISEMENT, {{L6 + 1, 1}}, 0, DENIAL_NEIGHBOUR},
    {FAKE_ADVERTISEMENT, {{IP + 23, 9}}, 0, DENIAL_NEIGHBOUR},
    {FAKE_ADVERTISEMENT, {{L6, 134}}, 0, DENIAL_NEIGHBOUR}, /* a router */
    {FAKE_ADVERTISEMENT, {{L6, 137}}, 0, DENIAL_NEIGHBOUR}, /* redirect */
    {FAKE_SOLICITATION, {{L6 + 24 + 7, 9}}, 0, DENIAL_NEIGHBOUR},
    {FAKE_SOLICITATION, {{IP + 23, 9}}, 0, DENIAL_NEIGHBOUR},
    {FAKE_SOLICITATION, {{IP + 8, 0}, {IP + 23, 0}}, 0, DENIAL_NEIGHBOUR},
    {FAKE_SOLICITATION, {{IP + 8, 0}, {IP + 23, 0}, {L6 + 8 + 15, 7}}, 0, DENIAL_NONE}, /* whether fd00::7 is taken */
    {FAKE_SOLICITATION, {{IP + 24, 0xfd}, {IP + 25, 0}, {IP + 39, 9}}, 0, DENIAL_NONE}, /* to one on the link … */
    {FAKE_SOLICITATION, {{IP + 24, 0xfd}, {IP + 25, 0}, {IP + 26, 1}}, 0, DENIAL_NEIGHBOUR}, /* … and to one far away */
    {FAKE_SOLICITATION, {{IP + 24, 0xff}, {IP + 25, 0x0e}}, 0, DENIAL_NEIGHBOUR},
    {FAKE_SOLICITATION, {{IP + 24, 0xfe}, {IP + 25, 0x80}}, 0, DENIAL_NONE},
    {FAKE_ROUTER_SOLICITATION, {{L6 + 8 + 7, 9}}, 0, DENIAL_NEIGHBOUR},
    {FAKE_ROUTER_SOLICITATION, {{IP + 23, 9}}, 0, DENIAL_NEIGHBOUR},
};

START_TEST(what_differs_by_one_thing_does_not)
{
	ck_assert_msg(check_row(&out[_i], true) == out[_i].denial, "row %d: %d", _i, check_row(&out[_i], true));
}
END_TEST

/* As many nonces as fit would carry anything to anybody who is taken for a neighbour. */
START_TEST(neighbour_discovery_carries_no_load)
{
	uint8_t bytes[FAKE_FRAME_MAX];
	uint32_t size = fake_frame((enum fake_frame)_i, bytes);

	for (uint32_t options = 1; options <= 4; options++, size += 8) {
		ck_assert_int_eq(check(&fake_network, true, bytes, size),
				 options <= 2 ? DENIAL_NONE : DENIAL_NEIGHBOUR);
		bytes[size] = 14; /* one more */
		bytes[size + 1] = 1;
		bytes[IP + 5] = (uint8_t)(bytes[IP + 5] + 8);
	}
}
END_TEST

START_TEST(no_frame_that_is_cut_leaves)
{
	uint8_t bytes[FAKE_FRAME_MAX];
	uint32_t size = fake_frame((enum fake_frame)_i, bytes);

	for (uint32_t cut = 0; cut < size; cut++)
		ck_assert_int_ne(check(&fake_network, true, bytes, cut), DENIAL_NONE);
}
END_TEST

START_TEST(without_rules_nothing_leaves_but_what_finds_neighbours)
{
	struct plan_network network = fake_network;
	uint8_t bytes[FAKE_FRAME_MAX];

	network.egress_count = network.ingress_count = 0;
	for (enum fake_frame i = 0; i < FAKE_FRAMES; i++)
		ck_assert_int_eq(check(&network, true, bytes, fake_frame(i, bytes)),
				 i < FAKE_ARP_REQUEST ? DENIAL_EGRESS : DENIAL_NONE);
}
END_TEST

START_TEST(without_addresses_nothing_leaves)
{
	struct plan_network network = fake_network;
	uint8_t bytes[FAKE_FRAME_MAX];

	network.address_count = 0;
	for (enum fake_frame i = 0; i < FAKE_FRAMES; i++)
		ck_assert_int_ne(check(&network, true, bytes, fake_frame(i, bytes)), DENIAL_NONE);
}
END_TEST

/* A prefix of n bits asks for n bits, not fewer nor more. */
START_TEST(a_prefix_counts_to_the_bit)
{
	enum fake_frame which = _i == 0 ? FAKE_TCP4 : FAKE_TCP6;
	uint32_t bits = _i == 0 ? 32 : 128, at = _i == 0 ? IP + 16 : IP + 24;
	struct plan_network network = fake_network;
	uint8_t bytes[FAKE_FRAME_MAX];
	uint32_t size = fake_frame(which, bytes);

	network.ingress_count = 0;
	memcpy(network.egress[_i].peer.bytes, bytes + at, bits / 8);
	for (uint32_t prefix = 0; prefix <= bits; prefix++) {
		network.egress[_i].peer.bits = prefix;
		for (uint32_t bit = 0; bit < bits; bit++) {
			bytes[at + bit / 8] ^= (uint8_t)(0x80 >> bit % 8);
			ck_assert_int_eq(check(&network, true, bytes, size),
					 bit < prefix ? DENIAL_EGRESS : DENIAL_NONE);
			bytes[at + bit / 8] ^= (uint8_t)(0x80 >> bit % 8);
		}
	}
}
END_TEST

/* Under rules that have every address. */
START_TEST(what_no_network_carries_stays_here)
{
	static const struct {
		enum fake_frame frame;
		uint8_t to[16];
		enum denial denial;
	} rows[] = {
	    {FAKE_TCP4, {127, 0, 0, 1}, DENIAL_EGRESS},
	    {FAKE_UDP4, {127, 255, 255, 254}, DENIAL_EGRESS},
	    {FAKE_PING4, {127, 0, 0, 1}, DENIAL_EGRESS},
	    {FAKE_TCP4, {0, 0, 0, 0}, DENIAL_EGRESS},
	    {FAKE_TCP4, {0, 0, 0, 1}, DENIAL_EGRESS},
	    {FAKE_TCP4, {1, 0, 0, 127}, DENIAL_NONE},
	    {FAKE_TCP4, {126, 0, 0, 0}, DENIAL_NONE},
	    {FAKE_TCP4, {128, 0, 0, 0}, DENIAL_NONE},
	    {FAKE_TCP6, {0}, DENIAL_EGRESS},
	    {FAKE_UDP6, {[15] = 1}, DENIAL_EGRESS},
	    {FAKE_PING6, {[15] = 1}, DENIAL_EGRESS},
	    {FAKE_TCP6, {[10] = 0xff, 0xff, 10, 0, 0, 9}, DENIAL_EGRESS},
	    {FAKE_TCP6, {[12] = 10, 0, 0, 9}, DENIAL_EGRESS},
	    {FAKE_TCP6, {[9] = 1, [15] = 9}, DENIAL_NONE},
	    {FAKE_TCP6, {0, 0x64, 0xff, 0x9b, [12] = 10, 0, 0, 9}, DENIAL_NONE},
	};
	struct plan_network network = fake_network;
	uint8_t bytes[FAKE_FRAME_MAX];

	for (uint32_t i = 0; i < network.egress_count; i++)
		network.egress[i].peer.bits = 0;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		uint32_t size = fake_frame(rows[i].frame, bytes);
		bool is_six = rows[i].frame >= FAKE_TCP6;
		memcpy(bytes + (is_six ? IP + 24 : IP + 16), rows[i].to, is_six ? 16 : 4);
		enum denial denial = check(&network, true, bytes, size);
		ck_assert_msg(denial == rows[i].denial, "row %zu: %d", i, denial);
	}
}
END_TEST

/* ---- in ---- */

static const struct row in[] = {
    /* answers: from port 443, but not a first segment */
    {FAKE_TCP4, {{L4 + 13, 0x12}}, 0, DENIAL_NONE},
    {FAKE_TCP4, {{L4 + 13, 0x10}}, 0, DENIAL_NONE},
    {FAKE_TCP4, {{L4 + 13, 0x02}}, 0, DENIAL_INGRESS},
    {FAKE_TCP4, {{L4 + 13, 0x03}}, 0, DENIAL_INGRESS},
    {FAKE_TCP4, {{L4 + 13, 0xc2}}, 0, DENIAL_INGRESS}, /* with ECN */
    {FAKE_TCP4, {{L4 + 13, 0x12}, {L4 + 1, 188}}, 0, DENIAL_INGRESS},
    {FAKE_TCP4, {{L4 + 13, 0x12}, {IP + 14, 1}}, 0, DENIAL_INGRESS}, /* of 10.0.1.9 */
    {FAKE_UDP4, {{0, 0}}, 0, DENIAL_NONE},
    {FAKE_UDP4, {{L4 + 1, 54}}, 0, DENIAL_INGRESS},
    {FAKE_UDP6, {{0, 0}}, 0, DENIAL_NONE},
    {FAKE_PING4, {{L4, 0}}, 0, DENIAL_NONE},
    {FAKE_PING6, {{L6, 129}}, 0, DENIAL_NONE},
    /* what begins from there */
    {FAKE_TCP4, {{L4, 15}, {L4 + 1, 160}, {L4 + 2, 0}, {L4 + 3, 22}}, 0, DENIAL_NONE},
    {FAKE_TCP4, {{L4, 15}, {L4 + 1, 160}, {L4 + 2, 0}, {L4 + 3, 23}}, 0, DENIAL_INGRESS},
    {FAKE_TCP4, {{L4, 15}, {L4 + 1, 160}, {L4 + 2, 0}, {L4 + 3, 22}, {IP + 15, 200}}, 0, DENIAL_INGRESS},
    {FAKE_PING4, {{0, 0}}, 0, DENIAL_NONE},
    {FAKE_PING4, {{IP + 15, 200}}, 0, DENIAL_INGRESS},
    {FAKE_PING4, {{L4, 5}}, 0, DENIAL_INGRESS}, /* redirect */
    {FAKE_PING4, {{L4, 3}}, 0, DENIAL_INGRESS}, /* an error about nothing */
    {FAKE_PING6, {{L6, 2}}, 0, DENIAL_INGRESS},
    /* for whom */
    {FAKE_UDP4, {{5, 8}}, 0, DENIAL_INGRESS},
    {FAKE_UDP4, {{IP + 19, 8}}, 0, DENIAL_INGRESS},
    {FAKE_UDP6, {{IP + 39, 8}}, 0, DENIAL_INGRESS},
    /* what cannot be judged */
    {FAKE_UDP4, {{12, 0x81}, {13, 0}}, 0, DENIAL_INGRESS},
    {FAKE_UDP4, {{IP + 6, 0x20}}, 0, DENIAL_INGRESS},
    {FAKE_UDP4, {{IP, 0x46}}, 0, DENIAL_INGRESS},
    {FAKE_UDP6, {{IP + 6, 44}}, 0, DENIAL_INGRESS},
    {FAKE_UDP4, {{0, 0}}, -1, DENIAL_INGRESS},
};

START_TEST(what_comes_in_answers_or_is_allowed)
{
	uint8_t bytes[FAKE_FRAME_MAX];
	uint32_t size = fake_frame_turned(in[_i].frame, bytes);

	for (unsigned i = 0; i < CHANGES_MAX; i++)
		if (in[_i].changes[i].offset != 0)
			bytes[in[_i].changes[i].offset] = in[_i].changes[i].value;
	enum denial denial = check(&fake_network, false, bytes, (uint32_t)((int32_t)size + in[_i].more));
	ck_assert_msg(denial == in[_i].denial, "row %d: %d", _i, denial);
}
END_TEST

START_TEST(neighbours_are_heard)
{
	uint8_t bytes[FAKE_FRAME_MAX];

	for (enum fake_frame i = FAKE_ARP_REQUEST; i < FAKE_FRAMES; i++) {
		uint32_t size = fake_frame(i, bytes);
		memset(bytes, 0xff, 6);
		ck_assert_int_eq(check(&fake_network, false, bytes, size), DENIAL_NONE);
	}
	uint32_t size = fake_frame(FAKE_ADVERTISEMENT, bytes);
	bytes[IP + 7] = 64; /* from beyond a router */
	ck_assert_int_eq(check(&fake_network, false, bytes, size), DENIAL_INGRESS);
}
END_TEST

#define ROWS(table) ((int)(sizeof(table) / sizeof((table)[0])))

int main(void)
{
	Suite *suite = suite_create("devices/frames");
	TCase *tests = tcase_create("frames");

	tcase_add_loop_test(tests, good_frames_leave, 0, FAKE_FRAMES);
	tcase_add_loop_test(tests, what_differs_by_one_thing_does_not, 0, ROWS(out));
	tcase_add_loop_test(tests, neighbour_discovery_carries_no_load, FAKE_SOLICITATION, FAKE_FRAMES);
	tcase_add_loop_test(tests, no_frame_that_is_cut_leaves, 0, FAKE_FRAMES);
	tcase_add_test(tests, without_rules_nothing_leaves_but_what_finds_neighbours);
	tcase_add_test(tests, without_addresses_nothing_leaves);
	tcase_add_loop_test(tests, a_prefix_counts_to_the_bit, 0, 2);
	tcase_add_test(tests, what_no_network_carries_stays_here);
	tcase_add_loop_test(tests, what_comes_in_answers_or_is_allowed, 0, ROWS(in));
	tcase_add_test(tests, neighbours_are_heard);
	suite_add_tcase(suite, tests);
	return run_suite(suite);
}
