// SPDX-License-Identifier: Apache-2.0
#define _GNU_SOURCE
#include "CLinux.h"

#include <elf.h>
#include <link.h>
#include <string.h>

struct found {
    uint8_t *bytes;
    int capacity;
    int count;
};

static int align(int size) { return (size + 3) & ~3; }

/// Called first for the program itself; a result other than 0 ends the walk there.
static int find_in_program(struct dl_phdr_info *program, size_t size, void *context) {
    struct found *found = context;
    (void)size;
    for (int index = 0; index < program->dlpi_phnum; index++) {
        const ElfW(Phdr) *header = &program->dlpi_phdr[index];
        if (header->p_type != PT_NOTE) continue;
        const uint8_t *next = (const uint8_t *)(program->dlpi_addr + header->p_vaddr);
        const uint8_t *end = next + header->p_memsz;
        while (next + sizeof(ElfW(Nhdr)) <= end) {
            const ElfW(Nhdr) *note = (const void *)next;
            const uint8_t *name = next + sizeof *note;
            const uint8_t *content = name + align((int)note->n_namesz);
            if (note->n_type == NT_GNU_BUILD_ID && note->n_namesz == 4 && memcmp(name, "GNU", 4) == 0) {
                int count = (int)note->n_descsz;
                found->count = count < found->capacity ? count : found->capacity;
                memcpy(found->bytes, content, (size_t)found->count);
                return 1;
            }
            next = content + align((int)note->n_descsz);
        }
    }
    return 1;
}

int martlet_build_id(uint8_t *bytes, int capacity) {
    struct found found = {bytes, capacity, 0};
    dl_iterate_phdr(find_in_program, &found);
    return found.count;
}
