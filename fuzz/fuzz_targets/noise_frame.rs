#![no_main]
libfuzzer_sys::fuzz_target!(init: chat_fuzz::targets::noise_frame::prepare(), |data: &[u8]| chat_fuzz::targets::noise_frame::run(data));
