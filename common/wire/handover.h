#ifndef ZPACS_WIRE_HANDOVER_H
#define ZPACS_WIRE_HANDOVER_H

/*
 * Says that what one thread wrote before it sent something through a socket within the process is
 * there for the thread that received it. libzmq's own barriers make it so, and nothing is done here;
 * but ThreadSanitizer cannot see into libzmq, and is told: handover_give() before the send,
 * handover_take() after the receive, both with the same address.
 */
#ifdef __SANITIZE_THREAD__
void __tsan_release(void *address);
void __tsan_acquire(void *address);
#define handover_give(address) __tsan_release(address)
#define handover_take(address) __tsan_acquire(address)
#else
#define handover_give(address) ((void)(address))
#define handover_take(address) ((void)(address))
#endif

#endif
