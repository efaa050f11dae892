//! CRC-32C by the instructions of the processor, where they do better than the crate `crc32c`.
//!
//! Few bytes go through the instruction for CRC-32C, eight at a time, wherever they begin: the crate aligns them first, byte
//! by byte. Of many, 512 bits at a time are multiplied, without carries, by what they weigh so many bits later. "Fast CRC
//! Computation for Generic Polynomials Using PCLMULQDQ Instruction" (Gopal and others, Intel 2009) has the method. What is
//! left at the end goes through the instruction, so that nothing has to be reduced by hand.

/// The checksum of all bytes.
pub(crate) type Way = fn(&[u8]) -> u32;

/// The best way that this processor has, if it is not the crate's.
pub(crate) fn best() -> Option<Way> {
    way::folding().or_else(way::by_instruction)
}

#[cfg(not(all(target_arch = "x86_64", not(miri))))]
mod way {
    pub(super) fn folding() -> Option<super::Way> {
        None
    }

    pub(super) fn by_instruction() -> Option<super::Way> {
        None
    }
}

#[cfg(all(target_arch = "x86_64", not(miri)))]
mod way {
    use std::arch::x86_64::{
        __m128i, __m512i, _mm_clmulepi64_si128, _mm_crc32_u8, _mm_crc32_u64, _mm_cvtsi32_si128,
        _mm_cvtsi128_si64, _mm_extract_epi64, _mm_set_epi64x, _mm_xor_si128, _mm512_broadcast_i32x4,
        _mm512_clmulepi64_epi128, _mm512_extracti32x4_epi32, _mm512_loadu_si512, _mm512_ternarylogic_epi64,
        _mm512_xor_si512, _mm512_zextsi128_si512,
    };

    const LANE: usize = 64;
    const STEP: usize = 4 * LANE;
    /// A checksum begins with ones.
    const ONES: u64 = 0xffff_ffff;

    /// What the halves of 128 bits are multiplied by.
    #[derive(Clone, Copy)]
    struct Weight {
        low: i64,
        high: i64,
    }

    /// For bytes that lie so many bits before others: x to this power and 32 more, and 32 fewer, modulo the polynomial; of
    /// the lower and the upper half of 128 bits. Bits are reversed, as everything is here.
    const BY_2048: Weight = Weight { low: 0xdcb1_7aa4, high: 0xb9e0_2b86 };
    const BY_512: Weight = Weight { low: 0x740e_ef02, high: 0x9e4a_ddf8 };
    const BY_384: Weight = Weight { low: 0x1c29_1d04, high: 0x1_d82c_63da };
    const BY_256: Weight = Weight { low: 0x1_384a_a63a, high: 0xba4f_c28e };
    const BY_128: Weight = Weight { low: 0xf20c_0dfe, high: 0x1_4cd0_0bd6 };

    /// Fewer bytes are not worth the beginning and the end of another way than that by words.
    const FEW: usize = STEP;

    pub(super) fn folding() -> Option<super::Way> {
        let has_all = is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("vpclmulqdq")
            && is_x86_feature_detected!("pclmulqdq")
            && is_x86_feature_detected!("sse4.2");
        // SAFETY: the way is given out where the processor has these instructions, and nowhere else.
        has_all.then_some(|bytes| unsafe { by_lanes(bytes) })
    }

    pub(super) fn by_instruction() -> Option<super::Way> {
        is_x86_feature_detected!("sse4.2").then_some(|bytes| {
            if bytes.len() < FEW {
                // SAFETY: the way is given out where the processor has these instructions, and nowhere else.
                unsafe { by_words(ONES, bytes) }
            } else {
                crc32c::crc32c(bytes)
            }
        })
    }

    #[inline]
    #[target_feature(enable = "avx512f,vpclmulqdq,pclmulqdq,sse4.2")]
    fn load(lane: &[u8; LANE]) -> __m512i {
        // SAFETY: the array is as long as what is read, and the instruction takes any alignment.
        unsafe { _mm512_loadu_si512(lane.as_ptr().cast()) }
    }

    #[inline]
    #[target_feature(enable = "avx512f,vpclmulqdq,pclmulqdq,sse4.2")]
    fn fold(lanes: __m512i, by: __m512i, onto: __m512i) -> __m512i {
        let (low, high) =
            (_mm512_clmulepi64_epi128::<0x00>(lanes, by), _mm512_clmulepi64_epi128::<0x11>(lanes, by));
        // The exclusive or of all three.
        _mm512_ternarylogic_epi64::<0x96>(low, high, onto)
    }

    #[inline]
    #[target_feature(enable = "avx512f,vpclmulqdq,pclmulqdq,sse4.2")]
    fn fold_one(part: __m128i, weight: Weight) -> __m128i {
        let by = _mm_set_epi64x(weight.high, weight.low);
        _mm_xor_si128(_mm_clmulepi64_si128::<0x00>(part, by), _mm_clmulepi64_si128::<0x11>(part, by))
    }

    #[inline]
    #[target_feature(enable = "avx512f,vpclmulqdq,pclmulqdq,sse4.2")]
    fn four_times(weight: Weight) -> __m512i {
        _mm512_broadcast_i32x4(_mm_set_epi64x(weight.high, weight.low))
    }

    #[target_feature(enable = "avx512f,vpclmulqdq,pclmulqdq,sse4.2")]
    fn by_lanes(bytes: &[u8]) -> u32 {
        let (lanes, rest) = bytes.as_chunks::<LANE>();
        let Some((first, lanes)) = lanes.split_first_chunk::<4>() else {
            return by_words(ONES, bytes);
        };
        let (steps, single) = lanes.as_chunks::<{ STEP / LANE }>();
        let mut sums = [load(&first[0]), load(&first[1]), load(&first[2]), load(&first[3])];
        sums[0] = _mm512_xor_si512(sums[0], _mm512_zextsi128_si512(_mm_cvtsi32_si128(-1)));
        let by = four_times(BY_2048);
        for step in steps {
            for (sum, lane) in sums.iter_mut().zip(step) {
                *sum = fold(*sum, by, load(lane));
            }
        }
        let by = four_times(BY_512);
        let [mut sum, after @ ..] = sums;
        for lane in after {
            sum = fold(sum, by, lane);
        }
        for lane in single {
            sum = fold(sum, by, load(lane));
        }
        let mut last = _mm512_extracti32x4_epi32::<3>(sum);
        last = _mm_xor_si128(last, fold_one(_mm512_extracti32x4_epi32::<0>(sum), BY_384));
        last = _mm_xor_si128(last, fold_one(_mm512_extracti32x4_epi32::<1>(sum), BY_256));
        last = _mm_xor_si128(last, fold_one(_mm512_extracti32x4_epi32::<2>(sum), BY_128));
        let sum = _mm_crc32_u64(0, _mm_cvtsi128_si64(last).cast_unsigned());
        let sum = _mm_crc32_u64(sum, _mm_extract_epi64::<1>(last).cast_unsigned());
        by_words(sum, rest)
    }

    /// Continues from `sum`, and ends the checksum.
    #[inline]
    #[target_feature(enable = "sse4.2")]
    fn by_words(mut sum: u64, bytes: &[u8]) -> u32 {
        let (words, rest) = bytes.as_chunks::<8>();
        for word in words {
            sum = _mm_crc32_u64(sum, u64::from_le_bytes(*word));
        }
        #[expect(clippy::cast_possible_truncation, reason = "the sum has 32 bits")]
        let mut sum = sum as u32;
        for byte in rest {
            sum = _mm_crc32_u8(sum, *byte);
        }
        !sum
    }
}

#[cfg(test)]
mod tests {
    use super::{Way, way};

    /// Every length, at every place in a line of the cache.
    #[test]
    fn every_way_gives_the_same() {
        [way::folding(), way::by_instruction()].into_iter().flatten().for_each(gives_the_same);
    }

    fn gives_the_same(way: Way) {
        let mut state = 88_172_645_463_325_252_u64;
        let noise: Vec<_> = (0..5200 / 8)
            .flat_map(|_| {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                state.to_le_bytes()
            })
            .collect();
        for length in 0..=5000 {
            for start in [length % 64, (length * 7 + 1) % 64] {
                let bytes = &noise[start..start + length];
                assert_eq!(way(bytes), crc32c::crc32c(bytes), "{length} bytes from {start} on");
            }
        }
        for bytes in [vec![0; 4096], vec![0xff; 4096], noise.repeat(60)] {
            assert_eq!(way(&bytes), crc32c::crc32c(&bytes));
        }
    }
}
