// The processor's instructions as functions. No Python here.
#pragma once

#if defined(__x86_64__) && defined(__GNUC__)
// GCC 12's own header makes registers of nothing on purpose and warns of it once inlined (gcc.gnu.org/PR105593).
#if !defined(__clang__)
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wuninitialized"
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#endif
#include <immintrin.h>
#if !defined(__clang__)
#pragma GCC diagnostic pop
#endif
#endif
