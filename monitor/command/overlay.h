/* The file that takes what a guest writes to a disk whose image is only read. */
#ifndef MONITOR_COMMAND_OVERLAY_H
#define MONITOR_COMMAND_OVERLAY_H

#include "policy/host.h"
#include "policy/plan.h"
#include "policy/policy.h"

/* Opens the overlay of a disk whose plan has `sectors` and `overlay`: a nameless file, or NAME.DISK.overlay, in the
   policy's folder, locked, made if it is not there. Fills in the plan's growth and overlay_holes. A close-on-exec
   descriptor, or -1 with why. */
int overlay_open(const struct policy *policy, const struct host *host, const struct policy_disk *disk,
		 struct plan_disk *plan, char *why);

/* Bytes of the clusters that an overlay has by its bits, and not, or not wholly, in its file. */
uint64_t overlay_holes(int file, uint64_t sectors);

/* Whether overlay_open would find what it needs; makes nothing. 0, or -1 with why. */
int overlay_check(const struct policy *policy, const struct host *host, const struct policy_disk *disk,
		  uint64_t sectors, struct plan_disk *plan, char *why);

/* What a kept overlay is called in the policy's folder. */
struct policy_path overlay_path(const struct policy *policy, const struct policy_disk *disk);

#endif
