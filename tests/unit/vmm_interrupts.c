/* Promise of monitor/vmm/mmio.h and devices/main.c: no interrupt is ever lost, though the acknowledgement of used
 * buffers reaches nobody.
 *
 * A model: a driver and its interrupt handler on one processor, or each on its own, a device process on another, the
 * register page and the line between them. The driver may look at the ring without having been woken, as one does that
 * submits. Every order in which their steps can come is tried, stores that wait in a processor's buffer (as on x86)
 * among them, by a search through all states. An interrupt is lost where everyone waits and the driver has not
 * seen all used buffers and every change of configuration. Who does what in which order is a table, and so is each
 * mistake: the search has to find the loss that it leads to, else it would prove nothing. One loses only where driver
 * and handler are on two processors.
 *
 * The device's steps are those of virtqueue_publish and virtqueue_should_interrupt, and of interrupt and configure,
 * which devices_main.c holds to their order; the driver's those of Linux and of guest/builtin/virtio.c; a reset is what
 * link_write and reset() do.
 */
#include "tests/unit/run_suite.h"

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

enum {
	BUFFERS = 3, /* the driver's, all available from the start */
	BATCH = 2,   /* how many the device gives back at once, at most */
	CHANGES = 1, /* of the configuration */
	RESETS = 1,
	STORES = 2, /* that a processor may keep to itself */
	STEPS = 8,
	USED = 1, /* bits of InterruptStatus */
	CONFIGURATION = 2,
};

enum step {
	END,
	FENCE,
	/* device */
	PUBLISH,         /* the used index */
	LOOK,            /* does the driver want an interrupt? */
	SET,             /* the bit of InterruptStatus, where it does */
	FIRE,            /* the irqfd */
	CLEAR,           /* the bit of used buffers */
	CLEAR_CAUGHT_UP, /* the same, where the driver asks for the next buffer that is not used yet */
	/* driver */
	DISARM, /* without EVENT_IDX: no interrupts for now; some drivers leave it to their handler */
	TAKE,   /* all used buffers */
	ARM,    /* an interrupt at the next, please */
	CHECK,  /* are there any more? */
	SLEEP,
	/* interrupt handler */
	READ,  /* InterruptStatus */
	ACK,   /* what was read */
	FETCH, /* a monitor that does not acknowledge in one step: reads the register, */
	STORE, /* and writes it */
	WAKE,
};

/* What an acknowledgement does to the bit of used buffers. */
enum ack { KEEPS, CLEARS, CLEARS_LATER };

/* On how many processors driver and handler lose one. */
enum loss { NEVER, ON_ANY, ON_TWO };

struct variant {
	const char *name;
	enum ack ack;
	bool without_event_idx;
	enum loss loss;
	enum step device[STEPS], driver[STEPS], handler[STEPS];
};

#define DEVICE                                                                                                         \
	{                                                                                                              \
		PUBLISH, FENCE, LOOK, SET, FIRE                                                                        \
	}
#define DRIVER                                                                                                         \
	{                                                                                                              \
		DISARM, TAKE, ARM, FENCE, CHECK, SLEEP                                                                 \
	}
#define POLLER                                                                                                         \
	{                                                                                                              \
		TAKE, ARM, FENCE, CHECK, SLEEP                                                                         \
	}
#define HANDLER                                                                                                        \
	{                                                                                                              \
		READ, ACK, WAKE                                                                                        \
	}

static const struct variant variants[] = {
    {"as it is", KEEPS, false, NEVER, DEVICE, DRIVER, HANDLER},
    {"as it is, without EVENT_IDX", KEEPS, true, NEVER, DEVICE, DRIVER, HANDLER},
    {"an exit that clears", CLEARS, false, NEVER, DEVICE, DRIVER, HANDLER},
    {"an exit that clears, without EVENT_IDX", CLEARS, true, NEVER, DEVICE, DRIVER, HANDLER},
    {"cleared when the driver has caught up",
     KEEPS,
     false,
     NEVER,
     {CLEAR_CAUGHT_UP, PUBLISH, FENCE, LOOK, SET, FIRE},
     DRIVER,
     HANDLER},
    {"interrupt before its bit", KEEPS, false, ON_ANY, {PUBLISH, FENCE, LOOK, FIRE, SET}, DRIVER, HANDLER},
    {"the same without EVENT_IDX", KEEPS, true, ON_ANY, {PUBLISH, FENCE, LOOK, FIRE, SET}, DRIVER, HANDLER},
    {"looked before the driver could see", KEEPS, false, ON_ANY, {LOOK, PUBLISH, FENCE, SET, FIRE}, DRIVER, HANDLER},
    {"the same without EVENT_IDX", KEEPS, true, ON_ANY, {LOOK, PUBLISH, FENCE, SET, FIRE}, DRIVER, HANDLER},
    {"no fence in the device", KEEPS, false, ON_ANY, {PUBLISH, LOOK, SET, FIRE}, DRIVER, HANDLER},
    {"no fence in the device, without EVENT_IDX", KEEPS, true, ON_ANY, {PUBLISH, LOOK, SET, FIRE}, DRIVER, HANDLER},
    {"no fence in the driver", KEEPS, false, ON_ANY, DEVICE, {DISARM, TAKE, ARM, CHECK, SLEEP}, HANDLER},
    {"driver looks, then asks", KEEPS, false, ON_ANY, DEVICE, {DISARM, TAKE, CHECK, ARM, FENCE, SLEEP}, HANDLER},
    {"cleared when the device hears of it", CLEARS_LATER, false, ON_ANY, DEVICE, DRIVER, HANDLER},
    {"the same without EVENT_IDX", CLEARS_LATER, true, ON_ANY, DEVICE, DRIVER, HANDLER},
    {"cleared at each run of the device",
     KEEPS,
     false,
     ON_ANY,
     {CLEAR, PUBLISH, FENCE, LOOK, SET, FIRE},
     DRIVER,
     HANDLER},
    {"cleared once it is fired", KEEPS, false, ON_ANY, {PUBLISH, FENCE, LOOK, SET, FIRE, CLEAR}, DRIVER, HANDLER},
    {"an exit that clears in two steps", KEEPS, false, ON_ANY, DEVICE, DRIVER, {READ, FETCH, STORE, WAKE}},
    {"the handler disarms", KEEPS, true, NEVER, DEVICE, POLLER, {READ, ACK, DISARM, WAKE}},
    {"the handler disarms when it has woken", KEEPS, true, ON_TWO, DEVICE, POLLER, {READ, ACK, WAKE, DISARM}},
};

/* ---- a state ---- */

enum cell { USED_INDEX, USED_EVENT, NO_INTERRUPT, CELLS };

struct buffer {
	uint8_t count, cell[STORES], value[STORES];
};

/* Bytes alone: compared as they lie, and hashed, four at a time. */
struct state {
	uint8_t memory[CELLS], status, line;
	struct buffer of_device, of_driver, of_handler;
	uint8_t device, pushed, signalled, wanted, cause, changes; /* where it is, and what it knows */
	uint8_t driver, taken, woken, changes_seen, resets;
	uint8_t handler, is_handling, read, fetched, unheard; /* `unheard`: acknowledgements on their way */
};
_Static_assert(sizeof(struct state) % sizeof(uint32_t) == 0, "no byte is left out of the hash");

static uint8_t load(const struct state *state, const struct buffer *own, enum cell cell)
{
	uint8_t value = state->memory[cell];
	for (unsigned i = 0; i < own->count; i++)
		if (own->cell[i] == cell)
			value = own->value[i];
	return value;
}

static bool store(struct buffer *own, enum cell cell, unsigned value)
{
	if (own->count == STORES)
		return false;
	own->cell[own->count] = (uint8_t)cell;
	own->value[own->count++] = (uint8_t)value;
	return true;
}

static void drain(struct state *state, struct buffer *own)
{
	state->memory[own->cell[0]] = own->value[0];
	own->count--;
	for (unsigned i = 0; i < own->count; i++) {
		own->cell[i] = own->cell[i + 1];
		own->value[i] = own->value[i + 1];
	}
	own->cell[own->count] = own->value[own->count] = 0;
}

/* ---- one step each; false: it cannot be taken now ---- */

static const struct variant *variant;
static bool apart; /* driver and handler have a processor each */

static bool wants(const struct state *state)
{
	if (state->pushed == state->signalled)
		return false;
	if (variant->without_event_idx)
		return load(state, &state->of_device, NO_INTERRUPT) == 0;
	uint8_t event = load(state, &state->of_device, USED_EVENT);
	return (uint8_t)(state->pushed - event - 1) < (uint8_t)(state->pushed - state->signalled);
}

/* Locked instructions and system calls wait until all stores are out. */
static bool device_step(struct state *state)
{
	struct buffer *own = &state->of_device;
	enum step step = variant->device[state->device];
	bool caught_up = load(state, own, USED_EVENT) == state->pushed;

	state->device++;
	switch (step) {
	case PUBLISH:
		return store(own, USED_INDEX, state->pushed);
	case LOOK:
		state->wanted = wants(state);
		state->signalled = state->pushed;
		return true;
	case SET:
		state->status |= state->wanted ? state->cause : 0;
		return !state->wanted || own->count == 0;
	case FIRE:
		state->line |= state->wanted;
		return !state->wanted || own->count == 0;
	case CLEAR_CAUGHT_UP:
		state->status &= caught_up ? (uint8_t)~USED : UINT8_MAX;
		return own->count == 0;
	case CLEAR:
		state->status &= (uint8_t)~USED;
		return own->count == 0;
	case END:
		state->device = state->wanted = state->cause = 0;
		return true;
	default:
		return own->count == 0;
	}
}

static bool driver_step(struct state *state)
{
	struct buffer *own = &state->of_driver;
	enum step step = variant->driver[state->driver];

	state->driver++;
	switch (step) {
	case DISARM:
		return !variant->without_event_idx || store(own, NO_INTERRUPT, 1);
	case TAKE:
		state->taken = load(state, own, USED_INDEX);
		return true;
	case ARM:
		return variant->without_event_idx ? store(own, NO_INTERRUPT, 0) : store(own, USED_EVENT, state->taken);
	case CHECK:
		if (load(state, own, USED_INDEX) != state->taken)
			state->driver = 0;
		return true;
	case SLEEP:
		if (!state->woken)
			return false;
		state->driver = state->woken = 0;
		return true;
	default:
		return own->count == 0;
	}
}

static void acknowledge(struct state *state)
{
	if (state->read == USED && variant->ack == CLEARS_LATER)
		state->unheard = 1;
	else
		state->status &= (uint8_t) ~(variant->ack == CLEARS ? state->read : state->read & CONFIGURATION);
}

static bool handler_step(struct state *state)
{
	struct buffer *own = apart ? &state->of_handler : &state->of_driver;
	bool is_used = (state->read & USED) != 0;

	switch (variant->handler[state->handler++]) {
	case READ:
		state->read = state->status;
		return true;
	case ACK:
		acknowledge(state);
		return own->count == 0;
	case DISARM:
		return !is_used || !variant->without_event_idx || store(own, NO_INTERRUPT, 1);
	case FETCH:
		state->fetched = state->status;
		return true;
	case STORE:
		state->status = state->fetched & (uint8_t)~CONFIGURATION;
		return true;
	case WAKE:
		state->woken |= is_used;
		if (state->read & CONFIGURATION)
			state->changes_seen = state->changes;
		return own->count == 0;
	default:
		state->handler = state->is_handling = state->read = state->fetched = 0;
		return true;
	}
}

/* ---- all that can happen next ---- */

static uint8_t place_of(enum step step)
{
	uint8_t place = 0;
	while (variant->device[place] != step)
		place++;
	return place;
}

static bool begin_run(struct state *state, unsigned given_back)
{
	if (state->device != 0 || state->cause != 0 || state->pushed + given_back > BUFFERS)
		return false;
	state->pushed = (uint8_t)(state->pushed + given_back);
	state->cause = USED;
	return true;
}

/* Straight to the step that sets the bit, or fires, whichever is first. */
static bool change_configuration(struct state *state)
{
	uint8_t set = place_of(SET), fire = place_of(FIRE);

	if (state->device != 0 || state->cause != 0 || state->changes == CHANGES)
		return false;
	state->changes++;
	state->cause = CONFIGURATION;
	state->wanted = 1;
	state->device = set < fire ? set : fire;
	return true;
}

/* The driver's write waits for the device process, which does not hear of it in the middle of a run. */
static bool reset(struct state *state)
{
	if (state->is_handling || state->resets == RESETS || state->cause != 0 || state->of_device.count > 0 ||
	    state->of_driver.count > 0 || state->of_handler.count > 0)
		return false;
	struct state fresh = {.line = state->line, .changes = state->changes, .resets = (uint8_t)(state->resets + 1)};
	fresh.changes_seen = fresh.changes; /* the driver reads it when it begins */
	*state = fresh;
	return true;
}

static bool deliver(struct state *state)
{
	if (state->is_handling || !state->line)
		return false;
	state->line = 0;
	state->is_handling = 1;
	return true;
}

static bool hear(struct state *state)
{
	if (!state->unheard || state->cause != 0)
		return false;
	state->unheard = 0;
	state->status &= (uint8_t)~USED;
	return true;
}

/* A driver that has something to submit looks at the ring on its way. */
static bool poll_ring(struct state *state)
{
	if (variant->driver[state->driver] != SLEEP)
		return false;
	state->driver = 0;
	return true;
}

static bool drain_one(struct state *state, struct buffer *own)
{
	if (own->count == 0)
		return false;
	drain(state, own);
	return true;
}

enum {
	BY_DEVICE,
	BY_DRIVER,
	BY_POLLING,
	BY_HANDLER,
	DELIVER,
	CHANGE,
	RESET,
	HEAR,
	DRAIN_DEVICE,
	DRAIN_DRIVER,
	DRAIN_HANDLER,
	BEGIN,
	MOVES = BEGIN + BATCH
};

static bool move(struct state *state, unsigned which)
{
	bool driver_runs = apart || !state->is_handling;

	switch (which) {
	case BY_DEVICE:
		return state->cause != 0 && device_step(state);
	case BY_DRIVER:
		return driver_runs && driver_step(state);
	case BY_POLLING:
		return driver_runs && poll_ring(state);
	case BY_HANDLER:
		return state->is_handling && handler_step(state);
	case DELIVER:
		return deliver(state);
	case CHANGE:
		return change_configuration(state);
	case RESET:
		return reset(state);
	case HEAR:
		return hear(state);
	case DRAIN_DEVICE:
		return drain_one(state, &state->of_device);
	case DRAIN_DRIVER:
		return drain_one(state, &state->of_driver);
	case DRAIN_HANDLER:
		return drain_one(state, &state->of_handler);
	default:
		return begin_run(state, which - BEGIN + 1);
	}
}

/* ---- the search ---- */

enum { STATES_MAX = 1 << 20 };

static struct state *states; /* in the order they were found */
static uint32_t *places;     /* by hash: 1 + where in `states` */
static uint32_t found;

static void add(const struct state *state)
{
	uint32_t words[sizeof(*state) / sizeof(uint32_t)];
	uint64_t hash = 14695981039346656037U;

	memcpy(words, state, sizeof(words));
	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		hash = (hash ^ words[i]) * 0x9e3779b97f4a7c15U;
	for (uint32_t at = (uint32_t)(hash ^ hash >> 32) % (2 * STATES_MAX);; at = (at + 1) % (2 * STATES_MAX)) {
		if (places[at] == 0) {
			if (found == STATES_MAX) /* ck_assert would write to a file each time */
				ck_abort_msg("more states than there is room for");
			states[found++] = *state;
			places[at] = found;
			return;
		}
		if (memcmp(&states[places[at] - 1], state, sizeof(*state)) == 0)
			return;
	}
}

/* How many states there are in which everyone waits: with all seen, and with something lost. */
static void explore(unsigned *complete, unsigned *lost)
{
	states = calloc(STATES_MAX, sizeof(*states));
	places = calloc((size_t)2 * STATES_MAX, sizeof(*places));
	ck_assert(states != NULL && places != NULL);
	found = *complete = *lost = 0;
	add(&(struct state){0});
	for (uint32_t i = 0; i < found; i++) {
		bool is_over = true;
		for (unsigned which = 0; which < MOVES; which++) {
			struct state next = states[i];
			if (!move(&next, which))
				continue;
			is_over &= which == RESET || which == BY_POLLING; /* not what a driver does that waits */
			add(&next);
		}
		if (is_over) {
			bool all = states[i].taken == BUFFERS && states[i].changes_seen == states[i].changes;
			*(all ? complete : lost) += 1;
		}
	}
	free(states);
	free(places);
}

START_TEST(no_interrupt_is_lost_and_every_mistake_loses_one)
{
	unsigned complete, lost;

	variant = &variants[_i / 2];
	apart = _i % 2 != 0;
	explore(&complete, &lost);
	ck_assert_msg(complete > 0, "%s: nothing ever ends well", variant->name);
	ck_assert_msg((lost > 0) == (variant->loss == ON_ANY || (variant->loss == ON_TWO && apart)),
		      "%s, %s: of %u states, %u with a loss", variant->name, apart ? "two processors" : "one processor",
		      found, lost);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("interrupts");
	TCase *tests = tcase_create("all interleavings");
	tcase_set_timeout(tests, 60);
	tcase_add_loop_test(tests, no_interrupt_is_lost_and_every_mistake_loses_one, 0,
			    2 * sizeof(variants) / sizeof(variants[0]));
	suite_add_tcase(suite, tests);
	return run_suite(suite);
}
