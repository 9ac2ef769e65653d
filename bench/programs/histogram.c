/* Counts by value, log-linear: 128 steps for each power of two. */
#include <string.h>

#include "load.h"

#define STEP_BITS 7
#define STEPS (1u << STEP_BITS)

static uint64_t counts[(64 - STEP_BITS + 1) * STEPS];
static uint64_t total, highest;
static double sum;

static size_t index_of(uint64_t value)
{
    int shift;

    if (value < STEPS) {
        return value;
    }
    shift = 63 - __builtin_clzll(value) - STEP_BITS;
    return (size_t) (shift + 1) * STEPS + (size_t) (value >> shift) - STEPS;
}

static uint64_t value_of(size_t index)
{
    size_t shift = index / STEPS;

    return shift == 0 ? index : (uint64_t) (index % STEPS + STEPS) << (shift - 1);
}

void histogram_add(uint64_t nanoseconds)
{
    counts[index_of(nanoseconds)]++;
    total++;
    sum += (double) nanoseconds;
    if (nanoseconds > highest) {
        highest = nanoseconds;
    }
}

void histogram_reset(void)
{
    memset(counts, 0, sizeof(counts));
    total = highest = 0;
    sum = 0;
}

uint64_t histogram_count(void)
{
    return total;
}

double histogram_mean(void)
{
    return total == 0 ? 0 : sum / (double) total;
}

uint64_t histogram_max(void)
{
    return highest;
}

uint64_t histogram_percentile(double percent)
{
    uint64_t seen = 0;
    size_t i;

    for (i = 0; i < sizeof(counts) / sizeof(counts[0]); i++) {
        seen += counts[i];
        if ((double) seen >= (double) total * percent / 100 && seen > 0) {
            return value_of(i);
        }
    }
    return highest;
}
