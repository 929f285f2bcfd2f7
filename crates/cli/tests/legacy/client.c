/* A model of the earlier server's client: what it sends is written down here once more, independent of the server's
 * own code. Arguments: the socket, and the bytes of a record (72, 112, 128 or 144). Standard input says what to send:
 *   TYPE DEVICE SIZE KIND ID    one record; a reply to type 3 or 6 is printed
 *   raw N BYTE                  N bytes of this value
 *   fork                        goes on in a child, with the same connection, and ends
 * As in the patched runtimes, sending is blocking and does not guard against a closed connection. */
#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

struct __attribute__((packed)) head {
    uint8_t type, pad1[3];
    int32_t device_id;
    uint64_t size;
    uint8_t buffer_type, pad2[3];
    int32_t process_id;
    uint64_t buffer_id, timestamp;
    uint64_t dram, l1, l1_small, trace;
};
struct __attribute__((packed)) device {
    uint64_t total_dram, total_l1;
    uint32_t arch, channels, channel_size, l1_per_core, is_available, num_devices;
};
struct __attribute__((packed)) p1 { struct head head; };
struct __attribute__((packed)) p2 { struct head head; struct device device; };
struct __attribute__((packed)) p3 { struct head head; uint64_t cb, kernel; struct device device; };
struct __attribute__((packed)) p4 {
    struct head head;
    uint64_t cb, kernel;
    struct device device;
    uint32_t ring_total, ring_used, ring_programs, pad3;
};
_Static_assert(sizeof(struct p1) == 72 && sizeof(struct p2) == 112, "P1 and P2");
_Static_assert(sizeof(struct p3) == 128 && sizeof(struct p4) == 144, "P3 and P4");

static void give(int to, const void *bytes, size_t length) {
    for (size_t sent = 0; sent < length;) {
        ssize_t n = send(to, (const char *)bytes + sent, length - sent, 0);
        if (n < 0) exit(3);
        sent += (size_t)n;
    }
}

static void print_reply(const unsigned char *bytes, size_t size) {
    const struct head *head = (const void *)bytes;
    uint64_t cb = 0, kernel = 0;
    struct device device = {0};
    if (size == sizeof(struct p2)) device = ((const struct p2 *)bytes)->device;
    if (size >= sizeof(struct p3)) {
        const struct p3 *p3 = (const void *)bytes;
        device = p3->device, cb = p3->cb, kernel = p3->kernel;
    }
    printf("type=%u device=%d dram=%" PRIu64 " l1=%" PRIu64 " l1_small=%" PRIu64 " trace=%" PRIu64, head->type,
           head->device_id, head->dram, head->l1, head->l1_small, head->trace);
    printf(" cb=%" PRIu64 " kernel=%" PRIu64, cb, kernel);
    printf(" total_dram=%" PRIu64 " total_l1=%" PRIu64, device.total_dram, device.total_l1);
    printf(" arch=%u channels=%u channel_size=%u l1_per_core=%u available=%u devices=%u\n", device.arch,
           device.channels, device.channel_size, device.l1_per_core, device.is_available, device.num_devices);
}

int main(int argc, char **argv) {
    size_t size = argc > 2 ? (size_t)atoi(argv[2]) : 0;
    int to = socket(AF_UNIX, SOCK_STREAM, 0);
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    strncpy(at.sun_path, argc > 1 ? argv[1] : "", sizeof at.sun_path - 1);
    if (size < sizeof(struct p1) || connect(to, (struct sockaddr *)&at, sizeof at) != 0) return 2;
    char line[256];
    while (fgets(line, sizeof line, stdin)) {
        unsigned type, kind, n, byte;
        int device;
        uint64_t bytes, id;
        unsigned char record[200] = {0};
        if (strcmp(line, "fork\n") == 0) {
            if (fork() > 0) _exit(0);
        } else if (sscanf(line, "raw %u %u", &n, &byte) == 2) {
            memset(record, (int)byte, sizeof record);
            give(to, record, n);
        } else if (sscanf(line, "%u %d %" SCNu64 " %u %" SCNu64, &type, &device, &bytes, &kind, &id) == 5) {
            int asks = type == 3 || type == 5 || type == 6 || type == 12;
            struct head head = {.type = (uint8_t)type, .device_id = device, .size = bytes,
                                .buffer_type = (uint8_t)kind, .buffer_id = id};
            head.process_id = asks ? 0 : getpid();
            head.timestamp = type == 1 || type == 8 || type == 10 ? 1761141045123456789u : 0;
            memcpy(record, &head, sizeof head);
            give(to, record, size);
            if (type == 3 || type == 6) {
                /* One recv of a full record, no loop: as the monitors do. */
                ssize_t got = recv(to, record, size, 0);
                if (got != (ssize_t)size) printf("short reply: %zd of %zu\n", got, size);
                else print_reply(record, size);
            }
        } else {
            return 4;
        }
        fflush(stdout);
    }
    return 0;
}
