/* Fuzzing the virtio-mmio register machine: the input is a stream of register writes, of what a lying device process
 * writes into the shared page, and of its answers.
 *
 * The harness plays the monitor around two machines that get the same writes; only the page of one is scribbled on.
 * They must agree in everything, for nothing may be decided from the page. After every step it checks what mmio.h
 * promises: order of status bits, frozen queues, features, and who has the queues.
 */
#include "monitor/vmm/mmio.h"

#include <stdlib.h>
#include <string.h>

enum operation {
	OP_REGISTER, /* which of the table, value in one byte */
	OP_VALUE,    /* which of the table, value in four bytes */
	OP_ANYWHERE, /* offset in two bytes, size, value in four bytes */
	OP_SCRIBBLE, /* offset in two bytes, value in four bytes */
	OP_BREAK,    /* the device process says BROKEN */
	OP_ANSWER,   /* to the next activation: a fault, or 0 */
	OP_BEGIN,    /* what a good driver does up to FEATURES_OK */
	OP_HELLO,    /* queue count, configuration size, features in four bytes: a new device */
	OPERATIONS,
};

enum { OPERATIONS_MAX = 512, ID = 2 };

static const uint32_t registers[] = {
    REGISTER_STATUS,           REGISTER_DEVICE_FEATURES_SEL, REGISTER_DRIVER_FEATURES,  REGISTER_DRIVER_FEATURES_SEL,
    REGISTER_QUEUE_SEL,        REGISTER_QUEUE_NUM,           REGISTER_QUEUE_READY,      REGISTER_INTERRUPT_ACK,
    REGISTER_QUEUE_DESC_LOW,   REGISTER_QUEUE_DESC_HIGH,     REGISTER_QUEUE_DRIVER_LOW, REGISTER_QUEUE_DRIVER_HIGH,
    REGISTER_QUEUE_DEVICE_LOW, REGISTER_QUEUE_DEVICE_HIGH,   REGISTER_QUEUE_NOTIFY,     REGISTER_CONFIG_GENERATION,
};
enum { REGISTERS = sizeof(registers) / sizeof(registers[0]) };

static const uint8_t *input;
static size_t input_size;
static struct mmio_device honest, lied_to;
static struct transport_queue sent[TRANSPORT_QUEUES_MAX]; /* what the device process got */
static bool sent_ready[TRANSPORT_QUEUES_MAX];
static bool is_sent, next_is_fault;

static void require(bool holds)
{
	if (!holds)
		abort();
}

static uint32_t take(size_t size)
{
	uint32_t value = 0;
	if (size > input_size)
		size = input_size;
	memcpy(&value, input, size);
	input += size;
	input_size -= size;
	return value;
}

static uint32_t shown(const struct mmio_device *device, uint32_t offset)
{
	uint32_t value;
	memcpy(&value, device->page + offset, sizeof(value));
	return value;
}

/* Everything but the page. */
static void check_agreement(void)
{
	struct mmio_device other = lied_to;
	other.page = honest.page;
	require(memcmp(&honest, &other, sizeof(other)) == 0);
}

static void check_status(void)
{
	uint32_t status = honest.status, selected = honest.queue_sel;
	bool exists = selected < honest.queue_count;

	require(!(status & STATUS_DRIVER) || status & STATUS_ACKNOWLEDGE);
	require(!(status & STATUS_FEATURES_OK) || status & STATUS_DRIVER);
	require(!(status & STATUS_DRIVER_OK) || status & STATUS_FEATURES_OK);
	require(!(status & STATUS_NEEDS_RESET) || status & STATUS_DRIVER_OK);
	require(is_sent == ((status & STATUS_DRIVER_OK) != 0));
	if (status & STATUS_FEATURES_OK) {
		require(honest.driver_features & TRANSPORT_F_VERSION_1);
		require((honest.driver_features & ~honest.offered) == 0);
	}
	require(shown(&honest, REGISTER_STATUS) == status);
	require(shown(&honest, REGISTER_QUEUE_NUM_MAX) == (exists ? TRANSPORT_QUEUE_SIZE_MAX : 0U));
	require(shown(&honest, REGISTER_QUEUE_READY) == (exists && honest.ready[selected]));
	require(shown(&honest, REGISTER_MAGIC) == TRANSPORT_MAGIC && shown(&honest, REGISTER_DEVICE_ID) == ID);
}

static void check_queues(void)
{
	for (uint32_t i = 0; i < TRANSPORT_QUEUES_MAX; i++) {
		const struct transport_queue *queue = &honest.queues[i];
		bool ready = honest.ready[i];
		require(!ready || (queue->size && queue->size <= TRANSPORT_QUEUE_SIZE_MAX));
		require(!ready || __builtin_popcount(queue->size) == 1);
		require(!ready || (i < honest.queue_count && honest.status & STATUS_FEATURES_OK));
		require(!is_sent || (memcmp(queue, &sent[i], sizeof(sent[i])) == 0 && ready == sent_ready[i]));
	}
}

static void activate(void)
{
	struct transport_message message;

	require(!is_sent);
	mmio_activation(&honest, &message);
	require(message.type == TRANSPORT_ACTIVATE && message.features == honest.driver_features);
	for (uint32_t i = 0; i < TRANSPORT_QUEUES_MAX; i++) {
		require(message.queues[i].size == (honest.ready[i] ? honest.queues[i].size : 0));
		require(!honest.ready[i] || message.queues[i].descriptors == honest.queues[i].descriptors);
	}
	memcpy(sent, honest.queues, sizeof(sent));
	memcpy(sent_ready, honest.ready, sizeof(sent_ready));
	is_sent = true;
	if (next_is_fault)
		require(mmio_break(&honest) == mmio_break(&lied_to));
	next_is_fault = false;
}

static void write_both(uint32_t offset, uint32_t value, uint32_t size)
{
	uint8_t data[8] = {0};
	bool is_register = size == 4 && offset % 4 == 0 && offset < TRANSPORT_CONFIG;
	struct mmio_device before = honest;

	memcpy(data, &value, sizeof(value));
	enum mmio_effect effect = mmio_write(&honest, offset, data, size);
	require(mmio_write(&lied_to, offset, data, size) == effect);
	require(is_register || (effect == MMIO_NOTHING && memcmp(&before, &honest, sizeof(before)) == 0));
	if (before.status & (STATUS_NEEDS_RESET | STATUS_FAILED))
		require(effect != MMIO_ACTIVATE && (honest.status == before.status || honest.status == 0));
	if (effect == MMIO_ACTIVATE) {
		activate();
	} else if (effect == MMIO_RESET) {
		require(is_sent);
		mmio_reset(&honest);
		mmio_reset(&lied_to);
		is_sent = false;
	}
}

static void begin(void)
{
	write_both(REGISTER_STATUS, 0, 4);
	write_both(REGISTER_STATUS, STATUS_ACKNOWLEDGE | STATUS_DRIVER, 4);
	write_both(REGISTER_DRIVER_FEATURES_SEL, 1, 4);
	write_both(REGISTER_DRIVER_FEATURES, 1, 4);
	write_both(REGISTER_STATUS, STATUS_ACKNOWLEDGE | STATUS_DRIVER | STATUS_FEATURES_OK, 4);
	require(honest.status & STATUS_FEATURES_OK);
}

static void hello(uint32_t queues, uint32_t config, uint32_t features)
{
	const struct transport_description description = {
	    .features = TRANSPORT_F_VERSION_1 | features, .queue_count = queues, .config_size = config};
	struct mmio_device other;

	bool good = queues >= 1 && queues <= TRANSPORT_QUEUES_MAX && config <= TRANSPORT_CONFIG_SIZE;
	require(mmio_init(&other, lied_to.page, ID, &description) == good);
	if (!good)
		return;
	lied_to = other;
	require(mmio_init(&honest, honest.page, ID, &description));
	is_sent = false;
}

static void step(void)
{
	uint32_t offset, value, size;

	switch (take(1) % OPERATIONS) {
	case OP_REGISTER:
		offset = registers[take(1) % REGISTERS];
		write_both(offset, take(1), 4);
		break;
	case OP_VALUE:
		offset = registers[take(1) % REGISTERS];
		write_both(offset, take(4), 4);
		break;
	case OP_ANYWHERE:
		offset = take(2) % TRANSPORT_PAGE_SIZE;
		size = 1 + take(1) % 8;
		if (size <= TRANSPORT_PAGE_SIZE - offset)
			write_both(offset, take(4), size);
		break;
	case OP_SCRIBBLE:
		offset = take(2) % (TRANSPORT_PAGE_SIZE - 3);
		value = take(4);
		memcpy(lied_to.page + offset, &value, sizeof(value));
		break;
	case OP_BREAK:
		require(mmio_break(&honest) == mmio_break(&lied_to));
		break;
	case OP_ANSWER:
		next_is_fault = take(1) & 1;
		break;
	case OP_BEGIN:
		begin();
		break;
	default:
		offset = take(1);
		size = take(2);
		hello(offset, size, take(4));
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t *pages[2];

	input = data;
	input_size = size;
	next_is_fault = false;
	for (unsigned i = 0; i < 2; i++)
		pages[i] = calloc(1, TRANSPORT_PAGE_SIZE);
	honest.page = pages[0];
	lied_to.page = pages[1];
	hello(2, 16, 0x20000244);
	for (unsigned i = 0; i < OPERATIONS_MAX && input_size > 0; i++) {
		step();
		check_agreement();
		check_status();
		check_queues();
	}
	free(pages[0]);
	free(pages[1]);
	return 0;
}
