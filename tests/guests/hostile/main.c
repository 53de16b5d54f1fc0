/*
 * Goes through the tables: brings a device to where the case begins, attacks, judges, mends, asks all the others, and
 * says in a line what came of it. hostile.py reads these lines while they come, and looks at the processes outside:
 * what they used since the last line. After a case that keeps them busy that is the line `quiet`. It says that it has
 * looked by a word in this guest's memory, or we would run ahead of it.
 *
 * Command line: case=N that one alone; from=N and to=N a part; fault=NAME: those whose device must report this kind of
 * fault (`-`: none), so that the log of such a run has that kind and no other; hammer: a second processor kicks all the
 * while; heeded: wait for hostile.py; fatal=NAME: what ends the VM (fatal.c).
 */
#include "hostile.h"

enum {
	QUIET_MS = 6,
	ALONE_MS = 100, /* of a case by itself, which then decides */
	HEED_MS = 250,  /* for hostile.py to look, unless it has missed so many times: */
	MISSED_MAX = 20,
	DEVICES = 32,
};

extern uint64_t fault_vector, fault_error, fault_rip, fault_address;

struct target targets[TARGETS_MAX];
unsigned target_count;
uint8_t bulk[BULK_SIZE] __attribute__((aligned(4096)));

static struct arena arenas[TARGETS_MAX];
static struct helper helpers[TARGETS_MAX];
static char reason[120];
static unsigned number, run_count, failed_count, first_case, last_case;

static const struct hostile_table *const tables[] = {
    &registers_table, &layout_table,  &ring_table,    &disk_table,       &ranges_table,    &entropy_table,
    &console_table,   &typed_table,   &network_table, &receive_table,    &vsock_table,     &connection_table,
    &listen_table,    &balloon_table, &deflate_table, &statistics_table, &reporting_table, &reporting_of_linux_table,
    &race_table,      &machine_table};

static const char *const fault_names[] = {"-",       "queue-layout", "available-index",     "descriptor-index",
					  "chain",   "order",        "indirect-descriptor", "buffer-address",
					  "request", "any"};

_Noreturn void fail(const char *format, ...)
{
	static bool failing;
	va_list arguments;

	if (!failing) {
		failing = true;
		say("hostile guest: FAILED at case %u: ", number);
		va_start(arguments, format);
		vsay(format, arguments);
		va_end(arguments);
		say("\n");
	}
	end_vm("exit:1");
}

_Noreturn void fault_ring3(void)
{
	fail("fault %lu (error %lx) at %lx, address %lx", fault_vector, fault_error, fault_rip, fault_address);
}

void wrong(const char *format, ...)
{
	va_list arguments;

	if (reason[0])
		return;
	va_start(arguments, format);
	format_text(reason, sizeof(reason), format, arguments);
	va_end(arguments);
}

/* ---- hostile.py ---- */

static struct {
	volatile uint32_t looked; /* how many times: written by the host */
	uint32_t asked, missed;
} heed __attribute__((aligned(4096)));

/* It looks after each line that is for it. */
static void await_look(void)
{
	uint64_t deadline = machine_deadline(HEED_MS);

	heed.asked++;
	if (!word("heeded") || heed.missed > MISSED_MAX)
		return;
	while (heed.looked < heed.asked && rdtsc() < deadline)
		pause();
	heed.missed += heed.looked < heed.asked;
}

/* ---- one case ---- */

static void hammer(struct target *target, uint64_t argument)
{
	(void)argument;
	while (!second_stopping())
		set(target, QUEUE_NOTIFY, target->kind->queue);
}

static void stay_quiet(void)
{
	uint64_t deadline = machine_deadline(word_value("case=") ? ALONE_MS : QUIET_MS);

	while (rdtsc() < deadline)
		pause();
}

/* What kept devices busy is over, and a process that is still at work spins. */
static void settle(void)
{
	say("quiet\n");
	console_drain();
	await_look();
	stay_quiet();
}

/* Nobody may have written to the second page of data. */
static bool is_untouched(const struct target *target)
{
	for (unsigned i = ARENA_DATA / 2; i < ARENA_DATA; i++)
		if (((volatile uint8_t *)target->arena->data)[i] != PATTERN)
			return false;
	return true;
}

/* What lies in a ring that is never looked at does nothing, and keeps the device from nothing. */
static void judge_unread(struct target *target)
{
	uint64_t deadline = machine_deadline(WAIT_MS);

	while (target->helper->used.index != target->helper->added && rdtsc() < deadline)
		pause();
	if (target->helper->used.index != target->helper->added)
		wrong("its other ring is not served");
	if (get(target, STATUS) != RUNNING)
		wrong("status is %x", get(target, STATUS));
	if (target->arena->used.index != 0 || !is_untouched(target))
		wrong("something came of it");
}

static void judge(const struct hostile *c, struct target *target)
{
	uint32_t status;

	switch ((enum outcome)c->outcome) {
	case ALIVE:
		status = get(target, STATUS);
		if (status != RUNNING)
			wrong("status is %x", status);
		else
			works(target);
		break;
	case BROKEN:
	case BROKEN_LATE:
		if (!await_status(target, NEEDS_RESET))
			wrong("no reset is asked for, status is %x", get(target, STATUS));
		else if (c->outcome == BROKEN && target->arena->used.index != target->taken)
			wrong("it was answered all the same");
		else if (c->outcome == BROKEN && !is_untouched(target))
			wrong("a buffer was written all the same");
		break;
	case STATUS_IS:
		status = get(target, STATUS);
		if (status != c->status)
			wrong("status is %x, not %x", status, c->status);
		break;
	case EITHER:
		status = get(target, STATUS);
		if ((status & ~(uint32_t)NEEDS_RESET) != RUNNING)
			wrong("status is %x", status);
		break;
	case UNREAD:
		judge_unread(target);
		break;
	case MACHINE:
		break;
	}
}

static void mend(struct target *target)
{
	bring(target, LIVE, QUEUE_SIZE);
	works(target);
	if (target->kind->reclaim)
		target->kind->reclaim(target);
	if (target != target->first)
		mend(target->first);
}

static void ask_others(const struct target *attacked)
{
	for (unsigned i = 0; i < target_count; i++)
		if (targets[i].first == &targets[i] && (!attacked || &targets[i] != attacked->first) &&
		    !targets[i].kind->reclaim && !works(&targets[i]))
			bring(&targets[i], LIVE, QUEUE_SIZE);
}

static void report(const struct hostile *c, const struct target *target, bool settled)
{
	static const char *const outcomes[] = {"alive",  "broken",  "broken-late", "status",
					       "either", "machine", "unread"};

	run_count++;
	failed_count += reason[0] != '\0';
	say("case %u %s.%u%s%s %u %s %lx %s %s %s %s%s\n", number, target ? virtio_name(target->device->id) : "machine",
	    target ? target->number : 0, target && target->kind->ring ? "/" : "",
	    target && target->kind->ring ? target->kind->ring : "", c->class, c->name, c->argument,
	    outcomes[c->outcome], fault_names[c->fault], settled ? "settled" : "brief", reason[0] ? "FAILED: " : "ok",
	    reason);
}

static void try(const struct hostile *c, struct target *target)
{
	bool hammers = target && !c->pair && second_there() && word("hammer");
	bool settles = c->heavy || hammers, has_console = target && target->kind->reclaim;

	number++;
	if (number < first_case || number > last_case || (c->pair && !second_there()) ||
	    (word_value("fault=") && !value_is(word_value("fault="), fault_names[c->fault])))
		return;
	reason[0] = '\0';
	if (target && target->kind->release)
		target->kind->release(target);
	if (target)
		bring(target, c->state, QUEUE_SIZE);
	if (hammers)
		second_run(hammer, target, 0);
	c->attack(target, c->argument);
	if (hammers)
		second_stop();
	stay_quiet();
	if (settles && !has_console)
		settle();
	if (target) {
		judge(c, target);
		mend(target);
	}
	ask_others(target);
	console_drain();
	if (settles && has_console)
		settle();
	report(c, target, settles);
	await_look();
}

static bool is_ring(const struct target *target, const char *name)
{
	return name && target->kind->ring ? value_is(name, target->kind->ring) : name == target->kind->ring;
}

/* Of devices of one kind the first stands for all, and a disk with an overlay for itself, where a case is not made for
   the kind. A ring whose chains are kept is not asked for answers (class 10); one that is never looked at, for nothing
   that waits until the device breaks (13 and 17). */
static bool concerns(const struct hostile_table *table, const struct hostile *c, const struct target *target)
{
	if (c->only)
		return c->only == target->device->id && is_ring(target, table->ring);
	if (target->kind->unread && table == &ring_table && (c->class == 13 || c->class == 17))
		return false;
	return (target->number == 0 || disk_has_overlay(target)) && (table->of_rings || target->first == target) &&
	       (target->kind->id != 0 || c->fault == NO_FAULT) && (!target->kind->keeps || c->class != 10);
}

static void try_on(const struct hostile_table *table, const struct hostile *c, struct target *target)
{
	struct hostile row = *c;

	if (target->kind->unread && table == &ring_table) {
		row.outcome = UNREAD;
		row.fault = NO_FAULT;
	}
	try(&row, target);
}

static void try_everywhere(const struct hostile_table *table, const struct hostile *c)
{
	if (c->outcome == MACHINE)
		try(c, NULL);
	for (unsigned i = 0; i < target_count && c->outcome != MACHINE; i++)
		if (concerns(table, c, &targets[i]))
			try_on(table, c, &targets[i]);
}

/* ---- the whole ---- */

static void open_console(void)
{
	const char *refused = NULL;

	for (unsigned i = 0; i < firmware.virtio_count && i < DEVICES_MAX; i++) {
		virtio_probe(&devices[i], firmware.virtio[i].address, firmware.virtio[i].gsi);
		if (devices[i].id == VIRTIO_CONSOLE)
			refused = console_open_briefly(&devices[i]);
	}
	if (refused)
		fail("console: %s", refused);
}

/* Each ring of a device. */
static void add_targets(struct virtio *device)
{
	struct target *first = &targets[target_count];
	unsigned same = 0;

	for (unsigned i = 0; i < target_count; i++)
		same += targets[i].device->id == device->id && targets[i].first == &targets[i];
	for (const struct kind *kind = kind_of(device->id, NULL); kind && target_count < TARGETS_MAX;
	     kind = kind_of(device->id, kind)) {
		targets[target_count] = (struct target){.device = device,
							.kind = kind,
							.arena = &arenas[target_count],
							.helper = &helpers[target_count],
							.first = first,
							.number = same};
		target_count++;
	}
	if (!first->kind->reclaim)
		bring(first, LIVE, QUEUE_SIZE);
}

static void find_targets(void)
{
	for (unsigned i = 0; i < firmware.virtio_count && i < DEVICES_MAX && target_count < TARGETS_MAX; i++)
		if (devices[i].id != 0)
			add_targets(&devices[i]);
}

static unsigned numbered(const char *name, unsigned otherwise)
{
	const char *value = word_value(name);

	return value ? (unsigned)parse_number(&value) : otherwise;
}

_Noreturn void guest_main(uint64_t start_info, uint64_t entry)
{
	const char *refused;

	(void)entry;
	firmware_init(start_info);
	open_console();
	firmware_read();
	machine_init();
	refused = console_reopen(true);
	if (refused)
		fail("console: %s", refused);
	find_targets();
	say("hostile guest: %u devices, %s processor, looks at %lx\n", target_count,
	    second_start() ? "a second" : "one", (uint64_t)(uintptr_t)&heed.looked);
	if (word_value("fatal="))
		fatal(word_value("fatal="));
	first_case = numbered("case=", numbered("from=", 1));
	last_case = numbered("case=", numbered("to=", UINT32_MAX));
	for (unsigned i = 0; i < sizeof(tables) / sizeof(tables[0]); i++)
		for (unsigned j = 0; j < tables[i]->count; j++)
			try_everywhere(tables[i], &tables[i]->cases[j]);
	say("hostile guest: %u cases, %u failed\n", run_count, failed_count);
	end_vm(failed_count ? "exit:1" : "poweroff");
}
