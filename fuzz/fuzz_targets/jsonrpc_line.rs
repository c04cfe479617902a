#![no_main]
libfuzzer_sys::fuzz_target!(init: chat_fuzz::targets::jsonrpc_line::prepare(), |data: &[u8]| chat_fuzz::targets::jsonrpc_line::run(data));
