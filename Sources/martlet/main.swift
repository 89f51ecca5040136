// SPDX-License-Identifier: Apache-2.0
import Server

exit(withStatus: Program.run(Program.arguments))
