/* Promises of devices/frames.c: what comes in as an ICMP error is about a packet that may leave; by none other can
 * anybody send a guest what he likes.
 */
#include "tests/unit/fake_frames.h"
#include "tests/unit/run_suite.h"

#include <stdlib.h>
#include <string.h>

enum { IP = 14, L4 = 34, L6 = 54 };

static enum denial check(const struct plan_network *network, const uint8_t *bytes, uint32_t size)
{
	struct frame frame;
	uint8_t *exact = malloc(size);

	memcpy(exact, bytes, size);
	enum denial denial = frame_check_ingress(network, exact, size, &frame);
	ck_assert(denial != DENIAL_NONE || frame.rule == TRAFFIC_LINK);
	free(exact);
	return denial;
}

enum { QUOTED_MIN4 = 28, QUOTED_MIN6 = 48, QUOTED4 = L4 + 8, QUOTED6 = L6 + 8 };

/* From a router that no rule names, with the first bytes of a frame of the guest's, headers and all, as RFC 792 and
   4443 have it. */
static uint32_t error_about(enum fake_frame which, uint32_t quoted, uint8_t bytes[static 2 * FAKE_FRAME_MAX])
{
	static const uint8_t router4[] = {192, 0, 2, 1}, router6[16] = {0x20, 1, 0x0d, 0xb8, [15] = 1};
	bool is_six = which >= FAKE_TCP6;
	uint8_t about[FAKE_FRAME_MAX];
	uint32_t headers = fake_frame_turned(is_six ? FAKE_PING6 : FAKE_PING4, bytes);
	uint32_t length = headers + quoted - (is_six ? L6 : IP);

	fake_frame(which, about);
	memcpy(bytes + headers, about + IP, quoted);
	memcpy(bytes + (is_six ? IP + 8 : IP + 12), is_six ? router6 : router4, is_six ? 16 : 4);
	bytes[is_six ? IP + 5 : IP + 3] = (uint8_t)length;
	bytes[is_six ? L6 : L4] = is_six ? 1 : 3; /* unreachable */
	return headers + quoted;
}

static const struct {
	enum fake_frame about;
	uint32_t quoted;
	struct {
		uint16_t offset;
		uint8_t value;
	} changes[3];
	bool is_lone; /* without a rule */
	enum denial denial;
} errors[] = {
    {FAKE_TCP4, QUOTED_MIN4, {{0, 0}}, false, DENIAL_NONE},
    {FAKE_TCP4, 46, {{0, 0}}, false, DENIAL_NONE},
    {FAKE_TCP4, 46, {{L4, 11}}, false, DENIAL_NONE},
    {FAKE_TCP4, 46, {{L4, 12}}, false, DENIAL_NONE},
    {FAKE_TCP4, 46, {{L4, 4}}, false, DENIAL_INGRESS}, /* source quench, redirect: not heard */
    {FAKE_TCP4, 46, {{L4, 5}}, false, DENIAL_INGRESS},
    {FAKE_UDP4, QUOTED_MIN4, {{0, 0}}, false, DENIAL_NONE},
    {FAKE_PING4, QUOTED_MIN4, {{0, 0}}, false, DENIAL_NONE},
    {FAKE_TCP6, QUOTED_MIN6, {{L6, 2}}, false, DENIAL_NONE}, /* too big */
    {FAKE_UDP6, QUOTED_MIN6, {{L6, 4}}, false, DENIAL_NONE},
    {FAKE_PING6, QUOTED_MIN6, {{0, 0}}, false, DENIAL_NONE},
    {FAKE_PING6, QUOTED_MIN6, {{L6, 0}}, false, DENIAL_INGRESS},
    {FAKE_PING6, QUOTED_MIN6, {{L6, 5}}, false, DENIAL_INGRESS},
    /* not enough of it to tell */
    {FAKE_UDP4, QUOTED_MIN4 - 1, {{0, 0}}, false, DENIAL_INGRESS},
    {FAKE_UDP4, 0, {{0, 0}}, false, DENIAL_INGRESS},
    {FAKE_UDP6, QUOTED_MIN6 - 1, {{0, 0}}, false, DENIAL_INGRESS},
    {FAKE_UDP6, 0, {{0, 0}}, false, DENIAL_INGRESS},
    /* what the guest cannot have sent */
    {FAKE_UDP4, QUOTED_MIN4, {{QUOTED4, 0x46}}, false, DENIAL_INGRESS},
    {FAKE_UDP4, QUOTED_MIN4, {{QUOTED4, 0x65}}, false, DENIAL_INGRESS},
    {FAKE_UDP6, QUOTED_MIN6, {{QUOTED6, 0x45}}, false, DENIAL_INGRESS},
    {FAKE_UDP4, QUOTED_MIN4, {{QUOTED4 + 15, 8}}, false, DENIAL_INGRESS},      /* from another */
    {FAKE_UDP4, QUOTED_MIN4, {{QUOTED4 + 18, 1}}, false, DENIAL_INGRESS},      /* to 10.0.1.9 */
    {FAKE_UDP4, QUOTED_MIN4, {{QUOTED4 + 20 + 3, 54}}, false, DENIAL_INGRESS}, /* to another port */
    {FAKE_PING4, QUOTED_MIN4, {{QUOTED4 + 20, 5}}, false, DENIAL_INGRESS},
    {FAKE_UDP6, QUOTED_MIN6, {{QUOTED6 + 8 + 15, 8}}, false, DENIAL_INGRESS},
    {FAKE_UDP6, QUOTED_MIN6, {{QUOTED6 + 24 + 7, 1}}, false, DENIAL_INGRESS},
    {FAKE_UDP6, QUOTED_MIN6, {{QUOTED6 + 40 + 3, 54}}, false, DENIAL_INGRESS},
    {FAKE_PING6, QUOTED_MIN6, {{QUOTED6 + 40, 1}}, false, DENIAL_INGRESS},
    /* an answer from port 22 may leave, and so be told of */
    {FAKE_TCP4, QUOTED_MIN4, {{QUOTED4 + 20, 0}, {QUOTED4 + 20 + 1, 22}, {QUOTED4 + 20 + 3, 9}}, false, DENIAL_NONE},
    /* under no rule there is nothing to be told of */
    {FAKE_TCP4, 46, {{0, 0}}, true, DENIAL_INGRESS},
    {FAKE_UDP6, QUOTED_MIN6, {{0, 0}}, true, DENIAL_INGRESS},
};

START_TEST(an_error_is_about_what_may_leave)
{
	uint8_t bytes[2 * FAKE_FRAME_MAX];
	struct plan_network network = fake_network;
	uint32_t size = error_about(errors[_i].about, errors[_i].quoted, bytes);

	if (errors[_i].is_lone)
		network.egress_count = network.ingress_count = 0;
	for (unsigned i = 0; i < 3; i++)
		if (errors[_i].changes[i].offset != 0)
			bytes[errors[_i].changes[i].offset] = errors[_i].changes[i].value;
	enum denial denial = check(&network, bytes, size);
	ck_assert_msg(denial == errors[_i].denial, "row %d: %d", _i, denial);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("devices/frames: errors");
	TCase *tests = tcase_create("frames");

	tcase_add_loop_test(tests, an_error_is_about_what_may_leave, 0, (int)(sizeof(errors) / sizeof(errors[0])));
	suite_add_tcase(suite, tests);
	return run_suite(suite);
}
