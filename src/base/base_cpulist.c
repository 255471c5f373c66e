/** Which CPUs this process may use: the affinity mask, and the quota of its control groups
 * (versions 1 and 2). */
#include "base/base_limits.h"
#include "base/base_priv.h"

#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CGROUP_ROOT "/sys/fs/cgroup"

static void affinity_get(lm_cpu_list *list)
{
    cpu_set_t set;
    CPU_ZERO(&set);
    list->count = 0;
    if (sched_getaffinity(0, sizeof set, &set) == 0) {
        for (int cpu = 0; cpu < CPU_SETSIZE && list->count < LM_THREADS_MAX; cpu++) {
            if (CPU_ISSET((unsigned)cpu, &set)) list->ids[list->count++] = cpu;
        }
    }
    if (list->count == 0) { /* a machine with more CPUs than the mask can name */
        list->ids[0] = 0;
        list->count = 1;
    }
}

/* Whole CPUs in a quota, rounded up; 0: no quota. */
unsigned lm_cpu_quota_of(long long quota_us, long long period_us)
{
    if (quota_us <= 0 || period_us <= 0) return 0;
    long long cpus = quota_us / period_us + (quota_us % period_us != 0);
    return cpus > LM_THREADS_MAX ? LM_THREADS_MAX : (unsigned)cpus;
}

static bool read_numbers(const char *path, long long *first, long long *second)
{
    char text[64];
    FILE *file = fopen(path, "re");
    if (!file) return false;
    size_t len = fread(text, 1, sizeof text - 1, file);
    fclose(file);
    text[len] = '\0';
    if (strncmp(text, "max", 3) == 0) return false;
    char *end;
    *first = strtoll(text, &end, 10);
    if (end == text) return false;
    if (second) *second = strtoll(end, NULL, 10);
    return true;
}

/* The quota of one group; is_v1 tells which files say it. */
static unsigned quota_at(const char *folder, bool is_v1)
{
    char path[512];
    long long quota = 0, period = 0;
    if (is_v1) {
        snprintf(path, sizeof path, "%s/cpu.cfs_quota_us", folder);
        if (!read_numbers(path, &quota, NULL)) return 0;
        snprintf(path, sizeof path, "%s/cpu.cfs_period_us", folder);
        if (!read_numbers(path, &period, NULL)) return 0;
    } else {
        snprintf(path, sizeof path, "%s/cpu.max", folder);
        if (!read_numbers(path, &quota, &period)) return 0;
    }
    return lm_cpu_quota_of(quota, period);
}

/* The smallest quota of the group and of those above it. In a container the path that the kernel
 * names may not be there, but the root of the mount is then the container's own group, and the walk
 * ends there. */
static unsigned quota_walk(const char *mount, const char *group, bool is_v1)
{
    char folder[400];
    unsigned best = 0;
    size_t mount_len = strlen(mount);
    if (mount_len + strlen(group) + 1 > sizeof folder) group = "";
    snprintf(folder, sizeof folder, "%s%s", mount, group);
    for (;;) {
        unsigned cpus = quota_at(folder, is_v1);
        if (cpus && (!best || cpus < best)) best = cpus;
        char *slash = strrchr(folder, '/');
        if (!slash || (size_t)(slash - folder) < mount_len) return best;
        *slash = '\0';
    }
}

static unsigned quota_get(void)
{
    unsigned best = 0;
    char line[512];
    FILE *file = fopen("/proc/self/cgroup", "re");
    if (!file) return 0;
    while (fgets(line, sizeof line, file)) { /* "hierarchy:controllers:/path" */
        char *controllers = strchr(line, ':');
        char *group = controllers ? strchr(controllers + 1, ':') : NULL;
        if (!group) continue;
        *group++ = '\0';
        controllers++;
        group[strcspn(group, "\n")] = '\0';
        unsigned cpus = 0;
        if (*controllers == '\0') {
            cpus = quota_walk(CGROUP_ROOT, group, false);
        } else if (strcmp(controllers, "cpu") == 0 || strncmp(controllers, "cpu,", 4) == 0 ||
                   strstr(controllers, ",cpu,") || strcmp(controllers, "cpuacct,cpu") == 0) {
            cpus = quota_walk(CGROUP_ROOT "/cpu", group, true);
        }
        if (cpus && (!best || cpus < best)) best = cpus;
    }
    fclose(file);
    return best;
}

void lm_cpu_list_get(lm_cpu_list *out)
{
    affinity_get(out);
    out->quota = quota_get();
}
