// The script of the engine's worker: exposes the engine and says that it is ready. Nothing else; it starts no worker of its own.
import { expose } from 'comlink';
import { realm } from '#realm';
import { PROTOCOL_VERSION } from '../protocol';
import { installErrorTransfer } from '../transfer';
import { createEngineApi } from './api';

installErrorTransfer();
expose(createEngineApi(() => realm.yieldToEventLoop()).api, realm.parent());
realm.tell({ kind: 'ready', protocol: PROTOCOL_VERSION });
