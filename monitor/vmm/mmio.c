/* virtio-mmio registers. See mmio.h. */
#include "monitor/vmm/mmio.h"

#include <string.h>

enum {
	INTERRUPT_CONFIGURATION = 2, /* InterruptStatus bit 1 */
	/* Alignment of a queue's parts (virtio 1.2, 2.7). */
	ALIGN_DESCRIPTORS = 16,
	ALIGN_DRIVER = 2,
	ALIGN_DEVICE = 4,
};

/* ---- the page ---- */

static void show(const struct mmio_device *mmio, unsigned offset, uint32_t value)
{
	__atomic_store_n((uint32_t *)(void *)(mmio->page + offset), value, __ATOMIC_RELEASE);
}

static struct transport_queue *selected(struct mmio_device *mmio)
{
	return mmio->queue_sel < mmio->description.queue_count ? &mmio->queues[mmio->queue_sel] : NULL;
}

/* What depends on selectors or state. */
static void refresh(struct mmio_device *mmio)
{
	uint64_t features = mmio->description.features;
	bool exists = selected(mmio) != NULL;
	show(mmio, REGISTER_DEVICE_FEATURES,
	     mmio->device_features_sel > 1 ? 0 : (uint32_t)(features >> (32 * mmio->device_features_sel)));
	show(mmio, REGISTER_QUEUE_NUM_MAX, exists ? TRANSPORT_QUEUE_SIZE_MAX : 0);
	show(mmio, REGISTER_QUEUE_READY, exists && mmio->ready[mmio->queue_sel]);
	show(mmio, REGISTER_STATUS, mmio->status);
}

bool mmio_init(struct mmio_device *mmio, uint8_t *page, uint32_t device_id,
	       const struct transport_description *description)
{
	*mmio = (struct mmio_device){.page = page, .device_id = device_id, .description = *description};
	if (description->queue_count == 0 || description->queue_count > TRANSPORT_QUEUES_MAX ||
	    description->config_size > TRANSPORT_CONFIG_SIZE || (description->features & TRANSPORT_F_VERSION_1) == 0)
		return false;
	show(mmio, REGISTER_MAGIC, TRANSPORT_MAGIC);
	show(mmio, REGISTER_VERSION, 2);
	show(mmio, REGISTER_DEVICE_ID, device_id);
	show(mmio, REGISTER_VENDOR_ID, TRANSPORT_VENDOR);
	show(mmio, REGISTER_SHM_LEN_LOW, UINT32_MAX);
	show(mmio, REGISTER_SHM_LEN_HIGH, UINT32_MAX);
	refresh(mmio);
	return true;
}

void mmio_read(const struct mmio_device *mmio, uint32_t offset, uint8_t *bytes, uint32_t size)
{
	memset(bytes, 0, size);
	if (offset < TRANSPORT_CONFIG) {
		if (size == 4 && offset % 4 == 0)
			memcpy(bytes, mmio->page + offset, 4);
	} else if (offset < TRANSPORT_CONFIG + mmio->description.config_size &&
		   size <= TRANSPORT_CONFIG + mmio->description.config_size - offset) {
		memcpy(bytes, mmio->page + offset, size);
	}
}

/* ---- status ---- */

bool mmio_break(struct mmio_device *mmio)
{
	if ((mmio->status & STATUS_NEEDS_RESET) != 0 || !mmio->active)
		return false;
	mmio->status |= STATUS_NEEDS_RESET;
	refresh(mmio);
	__atomic_fetch_or((uint32_t *)(void *)(mmio->page + REGISTER_INTERRUPT_STATUS), INTERRUPT_CONFIGURATION,
			  __ATOMIC_SEQ_CST);
	return true;
}

static enum mmio_action activate(struct mmio_device *mmio)
{
	mmio->status |= STATUS_DRIVER_OK;
	mmio->active = true;
	refresh(mmio);
	return MMIO_ACTIVATE;
}

void mmio_activation(const struct mmio_device *mmio, struct transport_message *message)
{
	*message = (struct transport_message){.type = TRANSPORT_ACTIVATE, .features = mmio->driver_features};
	for (unsigned i = 0; i < mmio->description.queue_count; i++)
		if (mmio->ready[i])
			message->queues[i] = mmio->queues[i];
}

void mmio_reset(struct mmio_device *mmio)
{
	mmio->active = false;
	mmio->status = 0;
	mmio->driver_features = 0;
	mmio->device_features_sel = mmio->driver_features_sel = mmio->queue_sel = 0;
	memset(mmio->queues, 0, sizeof(mmio->queues));
	memset(mmio->ready, 0, sizeof(mmio->ready));
	show(mmio, REGISTER_INTERRUPT_STATUS, 0);
	refresh(mmio);
}

static bool features_are_fine(const struct mmio_device *mmio)
{
	return (mmio->driver_features & ~mmio->description.features) == 0 &&
	       (mmio->driver_features & TRANSPORT_F_VERSION_1) != 0;
}

/* A driver only adds bits; zero resets. A bit whose time has not come stays clear, and that is the answer. */
static enum mmio_action write_status(struct mmio_device *mmio, uint32_t value)
{
	if (value == 0) {
		if (mmio->active)
			return MMIO_RESET;
		mmio_reset(mmio);
		return MMIO_NOTHING;
	}
	uint32_t added = value & ~mmio->status;
	if ((mmio->status & (STATUS_NEEDS_RESET | STATUS_FAILED)) != 0)
		return MMIO_NOTHING;
	mmio->status |= added & (STATUS_ACKNOWLEDGE | STATUS_DRIVER | STATUS_FAILED);
	bool is_driver = (mmio->status & STATUS_DRIVER) != 0 && (mmio->status & STATUS_ACKNOWLEDGE) != 0;
	if ((added & STATUS_FEATURES_OK) != 0 && is_driver && features_are_fine(mmio))
		mmio->status |= STATUS_FEATURES_OK;
	refresh(mmio);
	bool is_ready = (mmio->status & (STATUS_FEATURES_OK | STATUS_FAILED)) == STATUS_FEATURES_OK;
	return (added & STATUS_DRIVER_OK) != 0 && is_ready ? activate(mmio) : MMIO_NOTHING;
}

/* ---- features and queues ---- */

static void write_driver_features(struct mmio_device *mmio, uint32_t value)
{
	if ((mmio->status & STATUS_FEATURES_OK) != 0 || mmio->driver_features_sel > 1)
		return;
	unsigned shift = 32 * mmio->driver_features_sel;
	mmio->driver_features &= ~(UINT64_C(0xffffffff) << shift);
	mmio->driver_features |= (uint64_t)value << shift;
}

/* Where a queue's size and addresses may be written: between FEATURES_OK and DRIVER_OK, and not while it is ready. */
static struct transport_queue *open_queue(struct mmio_device *mmio)
{
	struct transport_queue *queue = selected(mmio);
	if ((mmio->status & (STATUS_FEATURES_OK | STATUS_DRIVER_OK)) != STATUS_FEATURES_OK || queue == NULL ||
	    mmio->ready[mmio->queue_sel])
		return NULL;
	return queue;
}

static void write_half(struct mmio_device *mmio, unsigned offset, uint32_t value)
{
	struct transport_queue *queue = open_queue(mmio);
	if (queue == NULL)
		return;
	uint64_t *address = offset < REGISTER_QUEUE_DRIVER_LOW   ? &queue->descriptors
			    : offset < REGISTER_QUEUE_DEVICE_LOW ? &queue->driver
								 : &queue->device;
	unsigned shift = (offset & 4) != 0 ? 32 : 0;
	*address &= ~(UINT64_C(0xffffffff) << shift);
	*address |= (uint64_t)value << shift;
}

static bool queue_is_fine(const struct transport_queue *queue)
{
	return queue->size != 0 && queue->size <= TRANSPORT_QUEUE_SIZE_MAX && (queue->size & (queue->size - 1)) == 0 &&
	       queue->descriptors % ALIGN_DESCRIPTORS == 0 && queue->driver % ALIGN_DRIVER == 0 &&
	       queue->device % ALIGN_DEVICE == 0;
}

/* A queue that cannot be used does not become ready, and QueueReady says so. */
static void write_ready(struct mmio_device *mmio, uint32_t value)
{
	const struct transport_queue *queue = selected(mmio);
	if ((mmio->status & (STATUS_FEATURES_OK | STATUS_DRIVER_OK)) != STATUS_FEATURES_OK || queue == NULL)
		return;
	mmio->ready[mmio->queue_sel] = value == 1 && queue_is_fine(queue);
}

static enum mmio_action write_register(struct mmio_device *mmio, unsigned offset, uint32_t value)
{
	struct transport_queue *queue;
	switch (offset) {
	case REGISTER_DEVICE_FEATURES_SEL:
		mmio->device_features_sel = value;
		break;
	case REGISTER_DRIVER_FEATURES_SEL:
		mmio->driver_features_sel = value;
		return MMIO_NOTHING;
	case REGISTER_DRIVER_FEATURES:
		write_driver_features(mmio, value);
		return MMIO_NOTHING;
	case REGISTER_QUEUE_SEL:
		mmio->queue_sel = value;
		break;
	case REGISTER_QUEUE_NUM:
		if ((queue = open_queue(mmio)) != NULL)
			queue->size = value;
		return MMIO_NOTHING;
	case REGISTER_QUEUE_READY:
		write_ready(mmio, value);
		break;
	case REGISTER_INTERRUPT_ACK:
		__atomic_fetch_and((uint32_t *)(void *)(mmio->page + REGISTER_INTERRUPT_STATUS), ~value,
				   __ATOMIC_SEQ_CST);
		return MMIO_NOTHING;
	case REGISTER_STATUS:
		return write_status(mmio, value);
	case REGISTER_QUEUE_DESC_LOW:
	case REGISTER_QUEUE_DESC_HIGH:
	case REGISTER_QUEUE_DRIVER_LOW:
	case REGISTER_QUEUE_DRIVER_HIGH:
	case REGISTER_QUEUE_DEVICE_LOW:
	case REGISTER_QUEUE_DEVICE_HIGH:
		write_half(mmio, offset, value);
		return MMIO_NOTHING;
	default: /* read-only, unknown, or QueueNotify of a width that the ioeventfd does not take */
		return MMIO_NOTHING;
	}
	refresh(mmio);
	return MMIO_NOTHING;
}

enum mmio_action mmio_write(struct mmio_device *mmio, uint32_t offset, const uint8_t *bytes, uint32_t size)
{
	uint32_t value;
	if (offset >= TRANSPORT_CONFIG || size != 4 || offset % 4 != 0)
		return MMIO_NOTHING; /* no device of ours has configuration that a driver writes */
	memcpy(&value, bytes, sizeof(value));
	return write_register(mmio, offset, value);
}
