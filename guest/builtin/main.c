/*
 * cofferdam's built-in guest: a program that needs no kernel, to see from the inside that a monitor does what it
 * promises. It says hello first, and only then looks around: the time to that line is what launching costs.
 *
 * Its command line says what to do; README.md lists the words.
 */
#include "tests.h"

extern uint64_t fault_vector, fault_error, fault_rip, fault_address;

static struct {
	uint64_t entry, ring3, hello;
} times;

static unsigned device_count;

_Noreturn void fail(const char *format, ...)
{
	static bool failing;
	va_list arguments;

	if (!failing) {
		failing = true;
		say("cofferdam guest: FAILED: ");
		va_start(arguments, format);
		vsay(format, arguments);
		va_end(arguments);
		say("\n");
	}
	end_vm("exit:1");
}

/* Ring 3 again, on a stack of its own, after any fault. */
_Noreturn void fault_ring3(void)
{
	fail("fault %lu (error %lx) at %lx, address %lx", fault_vector, fault_error, fault_rip, fault_address);
}

const char *duration(uint64_t cycles)
{
	static char buffers[4][32];
	static unsigned next;
	char *buffer = buffers[next++ % 4];
	uint64_t khz = machine_tsc_khz();

	if (khz == 0)
		format_line(buffer, 32, "%lu cycles", cycles);
	else
		format_line(buffer, 32, "%lu.%lu us", cycles * 1000 / khz, cycles * 10000 / khz % 10);
	return buffer;
}

uint64_t per_second(uint64_t count, uint64_t cycles)
{
	uint64_t khz = machine_tsc_khz();

	return khz && cycles / 1000 ? count * khz / (cycles / 1000) : 0;
}

/* Finds the console first; the other devices are probed when there is time. */
static void say_hello(void)
{
	const char *wrong = NULL;

	while (device_count < firmware.virtio_count && device_count < DEVICES_MAX) {
		const struct virtio_place *place = &firmware.virtio[device_count];
		struct virtio *device = &devices[device_count++];

		virtio_probe(device, place->address, place->gsi);
		if (device->id == VIRTIO_CONSOLE) {
			wrong = console_open_briefly(device);
			break;
		}
	}
	say("cofferdam guest: hello from ring 3\n");
	times.hello = rdtsc();
	if (wrong)
		fail("console: %s", wrong);
}

static void probe_rest(void)
{
	const char *wrong;

	for (; device_count < firmware.virtio_count && device_count < DEVICES_MAX; device_count++)
		virtio_probe(&devices[device_count], firmware.virtio[device_count].address,
			     firmware.virtio[device_count].gsi);
	wrong = console_reopen(true);
	if (wrong)
		fail("console: %s", wrong);
	if (console_device() && !virtio_interrupts(console_device()))
		fail("console: no interrupt controller has its line");
}

/* Runs a function for each device of a kind; how many there were. */
static unsigned each(uint32_t id, void (*function)(struct virtio *device))
{
	unsigned count = 0;

	for (unsigned i = 0; i < device_count; i++)
		if (devices[i].id == id) {
			function(&devices[i]);
			count++;
		}
	return count;
}

struct virtio *find_device(uint32_t id)
{
	for (unsigned i = 0; i < device_count; i++)
		if (devices[i].id == id)
			return &devices[i];
	return NULL;
}

static void list_devices(void)
{
	for (unsigned i = 0; i < device_count; i++)
		if (devices[i].id)
			note("device: virtio %s at %x, interrupt %u, offers %lx\n", virtio_name(devices[i].id),
			     devices[i].base, devices[i].irq.gsi, virtio_offered(&devices[i]));
}

static void reset_devices(void)
{
	const char *value = word_value("reset-devices=");
	uint64_t rounds = value ? parse_number(&value) : 50;
	unsigned disks = 0, entropies = 0, networks = 0;
	const char *wrong;

	for (uint64_t i = 0; i < rounds; i++) {
		disks = each(VIRTIO_BLOCK, reset_disk);
		entropies = each(VIRTIO_ENTROPY, reset_entropy);
		networks = each(VIRTIO_NETWORK, reset_network);
		each(VIRTIO_BALLOON, reset_balloon);
		for (unsigned j = 0; j < 8; j++)
			say("resets: round %lu, line %u may be lost\n", i, j);
		wrong = console_reopen(false);
		if (wrong)
			fail("console: %s", wrong);
	}
	note("resets: %u disks, %u entropy devices and %u networks, %lu rounds\n", disks, entropies, networks, rounds);
}

static void flood(uint64_t lines)
{
	for (uint64_t i = 0; i < lines; i++)
		say("flood %8lu: the quick brown fox jumps over the lazy dog 0123456789\n", i);
}

static void echo(void)
{
	char bytes[64];
	size_t size;

	say("cofferdam guest: echo until Ctrl-D\n");
	machine_stop_tick();
	while ((size = console_read(bytes, sizeof(bytes)))) {
		for (size_t i = 0; i < size; i++)
			if (bytes[i] == 4) {
				console_write(bytes, i);
				say("\n");
				return;
			}
		console_write(bytes, size);
	}
	fail("console: no input");
}

static void escapes(void)
{
	say("\033[1;31mred\033[0m \033[3Aup \033[2Jclear \033[6nreport\n");
	say("\033]0;a title\007 \033]52;c;aGVsbG8=\007 bell\007 \033P+q544e\033\\ \2331mC1\n");
	say("backspace\b\b\b carriage\rreturn \016shift\017 \177delete\n");
}

/* Without a word for it, what is harmless and quick is done. */
static bool wanted(const char *name)
{
	static const char *const special[] = {"list",          "memory", "disk", "entropy", "network", "smp",
					      "reset-devices", "break",  "echo", "esc",     "balloon", "vsock"};

	if (word(name))
		return true;
	for (unsigned i = 0; i < sizeof(special) / sizeof(special[0]); i++)
		if (word(special[i]))
			return false;
	return !word_value("balloon=") && !word_value("vsock=") && !word_value("bench=") && !word_value("fill=") &&
	       !word_value("flood=") && !word_value("reset-devices=");
}

static void work(void)
{
	const char *value;

	if (word("echo"))
		echo();
	if (wanted("list")) {
		list_machine();
		list_devices();
	}
	if (wanted("memory"))
		test_memory();
	if (wanted("disk"))
		each(VIRTIO_BLOCK, test_disk);
	if (wanted("entropy"))
		each(VIRTIO_ENTROPY, test_entropy);
	if (wanted("network"))
		each(VIRTIO_NETWORK, test_network);
	if ((word("balloon") || word_value("balloon=")) && each(VIRTIO_BALLOON, test_balloon) == 0)
		fail("there is no balloon");
	if ((word("vsock") || word_value("vsock=")) && each(VIRTIO_VSOCK, test_vsock) == 0)
		fail("there is no vsock");
	if (wanted("smp"))
		test_processors();
	if (word("reset-devices") || word_value("reset-devices="))
		reset_devices();
	if (word("break")) {
		each(VIRTIO_BLOCK, break_device);
		each(VIRTIO_ENTROPY, break_device);
		each(VIRTIO_NETWORK, break_device);
		each(VIRTIO_BALLOON, break_device);
		each(VIRTIO_VSOCK, break_device);
	}
	if ((value = word_value("bench=")))
		bench(value);
	if ((value = word_value("fill=")) && find_device(VIRTIO_BLOCK))
		fill_disk(find_device(VIRTIO_BLOCK), (unsigned)parse_number(&value));
	if ((value = word_value("flood=")))
		flood(parse_number(&value));
	if (word("esc"))
		escapes();
}

_Noreturn void guest_main(uint64_t start_info, uint64_t entry)
{
	times.ring3 = rdtsc();
	times.entry = entry;
	firmware_init(start_info);
	say_hello();
	firmware_read();
	if (word("first"))
		end_vm(word_value("end="));
	print_set_quiet(word("quiet"));
	if (word("poll"))
		machine_set_polling();
	machine_init();
	probe_rest();
	work();
	note("times: entry to ring 3 %s, ring 3 to hello %s; counter at %lu kHz by %s\n",
	     duration(times.ring3 - times.entry), duration(times.hello - times.ring3), machine_tsc_khz(),
	     machine_tsc_source());
	say("cofferdam guest: all well\n");
	end_vm(word_value("end="));
}
