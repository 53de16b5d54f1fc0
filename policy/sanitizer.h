/* UNDER_SANITIZER: this is built with the address sanitizer, which asks the kernel for more than we do. */
#ifndef POLICY_SANITIZER_H
#define POLICY_SANITIZER_H

#if defined(__SANITIZE_ADDRESS__)
#define UNDER_SANITIZER 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define UNDER_SANITIZER 1
#endif
#endif

#endif
