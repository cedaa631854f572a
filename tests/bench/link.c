/* A wire of a fixed length: joins two network namespaces by a TUN interface in each and holds every packet
 * back for the same time, one way and the other. For kernels without netem.
 *
 * usage: link INTERFACE DELAY_US NAMESPACE NAMESPACE
 *
 * Says `ready` once both interfaces are there; they live as long as this process, which stays in the first
 * namespace and ends with the process that started it.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

enum {
    LARGEST = 1500, /* bytes; a TUN interface's MTU */
    CAPACITY = 1 << 15, /* packets under way; 50 MB every 10 ms is more than two processors can send */
};

struct packet {
    int64_t due;
    ssize_t length;
    unsigned char bytes[LARGEST];
};

/* One direction: what was read from `in` and is to be written to `out`, in order. */
struct wire {
    int in, out;
    uint32_t first, next;
    struct packet *under_way;
};

static void fail(const char *what)
{
    perror(what);
    exit(1);
}

static int64_t now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec * 1000000000LL + time.tv_nsec;
}

static void enter(const char *namespace)
{
    int place = open(namespace, O_RDONLY | O_CLOEXEC);
    if (place < 0 || setns(place, CLONE_NEWNET) < 0)
        fail(namespace);
    close(place);
}

static int interface(const char *name, const char *namespace)
{
    struct ifreq request = {.ifr_flags = IFF_TUN | IFF_NO_PI};
    enter(namespace);
    int tun = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
    strncpy(request.ifr_name, name, IFNAMSIZ - 1);
    if (tun < 0 || ioctl(tun, TUNSETIFF, &request) < 0)
        fail("/dev/net/tun");
    return tun;
}

static int is_full(const struct wire *wire)
{
    return wire->next - wire->first == CAPACITY;
}

static void take(struct wire *wire, int64_t delay)
{
    while (!is_full(wire)) {
        struct packet *packet = &wire->under_way[wire->next % CAPACITY];
        packet->length = read(wire->in, packet->bytes, LARGEST);
        if (packet->length <= 0)
            return;
        packet->due = now() + delay;
        wire->next++;
    }
}

/* Deliver what is due; the time of the next packet, or 0 where none is under way. */
static int64_t deliver(struct wire *wire)
{
    while (wire->first != wire->next) {
        struct packet *packet = &wire->under_way[wire->first % CAPACITY];
        if (packet->due > now())
            return packet->due;
        if (write(wire->out, packet->bytes, packet->length) < 0 && errno == EAGAIN)
            return packet->due + 100000;
        wire->first++;
    }
    return 0;
}

static void wait_for(struct wire wires[2], int64_t due)
{
    struct pollfd sources[2];
    for (int i = 0; i < 2; i++)
        sources[i] = (struct pollfd){.fd = is_full(&wires[i]) ? -1 : wires[i].in, .events = POLLIN};
    int64_t left = due ? due - now() : 0;
    if (left < 0)
        left = 0;
    struct timespec time = {.tv_sec = left / 1000000000, .tv_nsec = left % 1000000000};
    if (ppoll(sources, 2, due ? &time : NULL, NULL) < 0 && errno != EINTR)
        fail("ppoll");
}

int main(int count, char **words)
{
    if (count != 5) {
        fprintf(stderr, "usage: link INTERFACE DELAY_US NAMESPACE NAMESPACE\n");
        return 2;
    }
    pid_t parent = getppid();
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent)
        return 1;
    prctl(PR_SET_TIMERSLACK, 1000); /* ns; the default of 50 us would lengthen the wire */
    int64_t delay = atoll(words[2]) * 1000;
    int far = interface(words[1], words[4]), near = interface(words[1], words[3]);
    struct wire wires[2] = {{.in = near, .out = far}, {.in = far, .out = near}};
    for (int i = 0; i < 2; i++)
        if (!(wires[i].under_way = calloc(CAPACITY, sizeof(struct packet))))
            fail("calloc");
    puts("ready");
    fflush(stdout);
    for (;;) {
        int64_t due = 0;
        for (int i = 0; i < 2; i++)
            take(&wires[i], delay);
        for (int i = 0; i < 2; i++) {
            int64_t next = deliver(&wires[i]);
            if (next && (!due || next < due))
                due = next;
        }
        wait_for(wires, due);
    }
}
